# Turns the throughputs that test/bench/outbox/run has measured into a table.
#
# Input: lines "round workload clients server tps= ...", the servers being
# "normal" and "without".  A ratio is taken within a round.

use strict;
use warnings;

my %label = (
	update => 'W1 single-row UPDATE',
	insert => 'W2 single-row INSERT',
	ten => 'W3 ten UPDATEs in a transaction');
my (%tps, @cases, $rounds);

sub median
{
	my @v = sort { $a <=> $b } @_;

	return @v % 2 ? $v[ @v / 2 ] : ($v[ @v / 2 - 1 ] + $v[ @v / 2 ]) / 2;
}

while (<>)
{
	my ($round, $workload, $clients, $server, $tps) = split;
	my $case = "$workload $clients";

	push @cases, $case unless $tps{$case};
	($tps{$case}{$server}{$round}) = $tps =~ /^tps=(.*)/;
	$rounds = $round;
}

print '| workload | clients | without | normal | ratio, round by round |',
  " median | goal |\n|---|--:|--:|--:|---|--:|---|\n";
foreach my $case (@cases)
{
	my ($normal, $without) = @{ $tps{$case} }{ 'normal', 'without' };
	my @ratios = map { $normal->{$_} / $without->{$_} } 1 .. $rounds;
	my ($workload, $clients) = split / /, $case;

	printf "| %s | %d | %.0f tps | %.0f tps | %s | %.3f | >= 0.95 |\n",
	  $label{$workload}, $clients, median(values %$without),
	  median(values %$normal), join(' ', map { sprintf '%.2f', $_ } @ratios),
	  median(@ratios);
}
