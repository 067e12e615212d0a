# What reads foreign bytes, under sanitizers: inputs made from the formats, and
# many more made from those at random, always the same.  The long way to look
# for such errors is test/fuzz/run, which needs clang.

use strict;
use warnings;

use FindBin;

use PostgreSQL::Test::Utils;
use Test::More;

my $fuzz = "$FindBin::RealBin/../fuzz";
my $dir = PostgreSQL::Test::Utils::tempdir();
my $seed = $ENV{WTC_SEED} // 1;
my $count = $ENV{WTC_FUZZ_COUNT} // 200_000;

$ENV{ASAN_OPTIONS} = 'abort_on_error=1';
$ENV{UBSAN_OPTIONS} = 'abort_on_error=1:print_stacktrace=1';

sub run
{
	my ($stdout, $stderr) = ('', '');
	my $ok = IPC::Run::run(\@_, '<', \undef, '>', \$stdout, '2>', \$stderr);

	diag($stdout, $stderr) unless $ok;
	return ($ok, $stdout);
}

chdir $dir or die "$dir: $!";
mkdir 'seeds';
ok((run($^X, "$fuzz/seeds.pl", 'seeds'))[0], 'the inputs are made');

foreach my $target ('message', 'template', 'url')
{
	ok((run("$fuzz/build", $target, $target, 'gcc', "$fuzz/driver.c"))[0],
		"$target: compiles");

	my @files = sort glob("seeds/$target/*");
	my ($ok, $out) = run("./$target", '-check', @files);
	my $expected = join '',
	  map { (m{/good-} ? 'accepted' : 'refused') . " $_\n" } @files;

	ok($ok, "$target: reads what is well-formed, and what is not");
	is($out, $expected, "$target: and knows which is which");

	($ok, $out) = run("./$target", $seed, $count, @files);
	ok($ok, "$target: no error in $count inputs of the seed $seed");
	like($out, qr/^$count inputs, [1-9]\d\d+ accepted$/,
		"$target: some of them were accepted");
	note($out);
}

done_testing();
