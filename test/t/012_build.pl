# Building from a clone: nothing is compiled twice, in a directory of its own as
# packagers do it, with and without pkg-config, and what make installcheck needs.

use strict;
use warnings;

use FindBin;

use PostgreSQL::Test::Utils;
use Test::More;

my $top = "$FindBin::RealBin/../..";
my $clone = PostgreSQL::Test::Utils::tempdir_short() . '/clone';

# What a clone has, and nothing that was made in it.
mkdir $clone;
system_or_bail('sh', '-c',
	"tar -C '$top' -cf - --exclude='*.o' --exclude='*.so' --exclude='*.lua.h'"
	  . " --exclude=regress.conf --exclude='tmp_check*' --exclude=results --exclude=output_iso"
	  . " Makefile wtcache.control src sql expected test | tar -C '$clone' -xf -");

# The variables of the make that runs this test are not for those run here.
delete @ENV{ grep { /^(MAKE|MFLAGS|WTC_REDIS_SOCKET|REGRESS|ISOLATION|PROVE|TAP_TESTS)/ } keys %ENV };

# The exit code and all that make has written
sub make
{
	my ($dir, @args) = @_;
	my $out = '';

	IPC::Run::run([ 'make', '-C', $dir, 'PG_CONFIG=pg_config', 'COPT=-O0', @args ],
		'<', \undef, '>&', \$out);
	note $out =~ s/^(?!.*(error|\*\*\*)).*\n//gmr if $?;
	return ($? >> 8, $out);
}

sub compiled { return scalar(() = $_[0] =~ / -c -o \S+\.o /g); }

my $sources = () = glob("$clone/src/*.c $clone/src/*/*.c");
my %functions = map { $_ => 1 }
  slurp_file("$clone/sql/wtcache--1.0.sql") =~ /'MODULE_PATHNAME', '(\w+)'/g;
my $functions = keys %functions;

# The functions of the library that CREATE EXTENSION looks for
sub functions
{
	my ($library) = @_;
	my ($out, $err) = run_command([ 'nm', '-D', '--defined-only', $library ]);

	return scalar(() = $out =~ / T wtcache_(?!debug)/g);
}

sub links_hiredis
{
	my ($out) = run_command([ 'ldd', $_[0] ]);
	return $out =~ /hiredis/ ? 1 : 0;
}

# --- in the clone, without pkg-config ---------------------------------------------

my ($code, $out) = make($clone, '-j2', 'PKG_CONFIG=there-is-none');
is($code, 0, 'without pkg-config: built');
is(compiled($out), $sources, '... each file once');
ok(links_hiredis("$clone/wtcache.so"), '... with hiredis');
is(functions("$clone/wtcache.so"), $functions, '... and all functions');

($code, $out) = make($clone, 'install', "DESTDIR=$clone/installed");
is($code, 0, 'installed');
is(compiled($out), 0, '... and nothing is compiled again');

unlink "$clone/wtcache.so";
($code, $out) = make($clone, 'PKG_CONFIG=there-is-none', 'HIREDIS=-lthere_is_none');
isnt($code, 0, 'without hiredis: stops');
like($out, qr/hiredis was not found: install .*libhiredis-dev/, '... and says why');
ok(!-e "$clone/wtcache.so", '... without a library');
is((make($clone, 'clean', 'PKG_CONFIG=there-is-none', 'HIREDIS=-lthere_is_none'))[0], 0,
	'... but to clean needs none');

# --- in a directory of its own ----------------------------------------------------

mkdir "$clone/build";
my @vpath = ('-f', '../Makefile', 'VPATH=..');

($code, $out) = make("$clone/build", @vpath, '-j2');
is($code, 0, 'VPATH: built');
is(compiled($out), $sources, '... each file once');
ok(links_hiredis("$clone/build/wtcache.so"), '... with hiredis');
is(functions("$clone/build/wtcache.so"), $functions, '... and all functions');
($code, $out) = make("$clone/build", @vpath, 'install', "DESTDIR=$clone/build/installed");
is($code, 0, '... installed');
is(compiled($out), 0, '... and nothing is compiled again');
is_deeply(
	[ map { s/^.*\///r } sort split /\n/, (run_command([ 'find', "$clone/build/installed", '-type', 'f' ]))[0] ],
	[ map { s/^.*\///r } sort split /\n/, (run_command([ 'find', "$clone/installed", '-type', 'f' ]))[0] ],
	'... what is installed from the clone');
is(join(' ', glob("$clone/src/*.o $clone/src/*/*.o $clone/src/*/*.lua.h")), '', '... leaves the source alone');

# --- make installcheck ------------------------------------------------------------

($code, $out) = make($clone, 'installcheck', 'REGRESS=extension cascades', 'ISOLATION=', 'TAP_TESTS=');
is($code, 0, 'installcheck: passes');
like($out, qr/All 2 tests passed/, '... what it was told to run');
ok(-s "$clone/test/regress.conf", '... with a configuration');
my ($socket) = slurp_file("$clone/test/regress.conf") =~ /unix:\/\/(\S+)'/;
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
select(undef, undef, undef, 0.1) while -e $socket && time < $deadline;
ok(!-e $socket, '... and the Redis that it has started is gone');

done_testing();
