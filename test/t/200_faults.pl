# A short round of the fault loop, see test/faults.  The long one is run by
# that command, as are the mutants that show that it would find something.

use strict;
use warnings;

use FindBin;

use PostgreSQL::Test::Utils;
use Test::More;

my $parts = "$FindBin::RealBin/../faultloop";
my $dir = PostgreSQL::Test::Utils::tempdir();
my $seconds = $ENV{WTC_FAULTS_SECONDS} || 18;
my $seed = $ENV{WTC_SEED} // time;

sub pg_config
{
	my $line = `pg_config $_[0]`;

	chomp $line;
	return $line;
}

ok( !system('cc', '-O2', '-I' . pg_config('--includedir'), '-o', "$dir/load",
		glob("$parts/*.c"), '-L' . pg_config('--libdir'), '-lpq', '-lpthread'),
	'the load compiles');

my @counts = (
	'commits', 'rollbacks', 'savepoints', 'prepares', 'big', 'async', 'pages',
	'pages read', 'checked sure', 'checked present', 'verifies sure',
	'warms finished', 'planted', 'schema changes', 'shapes sure');

my ($stdout, $stderr);
my $ok = IPC::Run::run(
	[
		$^X, "$parts/conduct.pl", '--dir', "$dir/loop", '--load', "$dir/load",
		'--seconds', $seconds, '--round', 5, '--calm', 4, '--gap', 0.8,
		'--writers', 4, '--readers', 2, '--big', 300, '--seed', $seed,
		'--until-seen', join(',', @counts)
	],
	'<', \undef, '>', \$stdout, '2>', \$stderr);

ok($ok, "no violation with the seed $seed") or diag($stdout, $stderr);
note($stdout, $stderr);

my %count = $stdout =~ /^([a-z ]+?) {2,}(\d+)$/gm;
cmp_ok($count{$_} // 0, '>', 0, "there were: $_")
  foreach @counts, 'faults';

# A bug that cannot be built in any more would not be found either.
foreach my $mutant (split /\n/, `$^X $parts/mutants.pl --names`)
{
	my $copy = PostgreSQL::Test::Utils::tempdir();

	system('cp', '-r', "$parts/../../src", $copy) and die 'could not copy';
	ok(!system($^X, "$parts/mutants.pl", $mutant, $copy), "$mutant has its place");
}

done_testing();
