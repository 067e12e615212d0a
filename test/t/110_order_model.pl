# The real code of push/ and worker/ in random schedules, with a real Redis: see
# test/order/world.c.  Then once more with rules left out that keep order: each
# must be found, or this test is worth nothing.
#
# WTC_SEED selects other schedules, WTC_SECONDS for how long.  The long run, and
# all the rules, are test/order/run.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Redis;

my $order = "$FindBin::RealBin/../order";
my $seed = $ENV{WTC_SEED} // 1;
my $seconds = $ENV{WTC_SECONDS} // 10;
my $dir = PostgreSQL::Test::Utils::tempdir();
my $sockets = PostgreSQL::Test::Utils::tempdir_short();
my $redis = Wtcache::Redis->new;

# found within a hundred schedules
my @mutants = ('no-marks', 'tag-not-looked-at', 'version-not-compared');
my $bound = 5000;

# The exit status, and what was printed
sub run
{
	my ($stdout, $stderr) = ('', '');

	IPC::Run::run(\@_, '<', \undef, '>', \$stdout, '2>', \$stderr);
	diag($stderr) if $stderr ne '';
	return ($? >> 8, $stdout);
}

my ($status, $out) = run("$order/build", "$dir/order");
is($status, 0, 'it compiles') or die "no model\n";

my ($socket) = $redis->url =~ m{^unix://(.*)$};
($status, $out) =
  run("$dir/order/order", $socket, $sockets, $seed, 1_000_000, $seconds);
is($status, 0, "no violation in the schedules from $seed on") or diag($out);
like($out, qr/^[1-9]\d\d+ schedules, 0 violations/m, 'they were some');
note($out);

foreach my $mutant (@mutants)
{
	($status, $out) =
	  run("$order/build", "$dir/mutant", $mutant, "$dir/order");
	is($status, 0, "$mutant: it compiles");
	($status, $out) = run("$dir/mutant/order",
		$socket, $sockets, $seed, $bound, 60, '-s');
	is($status, 1, "$mutant: it is found");
	note($out);
}

done_testing();
