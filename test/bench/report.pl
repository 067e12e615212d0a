# Turns the measurements of test/bench/run into Markdown tables.
#
# Input: lines "round workload clients way tps= n= p50= p95= p99=", a bulk
# line's tps being statements per second.  A ratio is taken within a round.

use strict;
use warnings;

my %label = (
	update => 'W1 single-row UPDATE',
	insert => 'W2 single-row INSERT',
	ten => 'W3 ten UPDATEs in a transaction',
	bulk => 'W4 one UPDATE of all rows, time',
	hot => 'W5 ten hot rows',
	open => 'W1, Redis down, breaker open');
my %goal = (
	'update 1' => '>= 0.85',
	'update 16' => '>= 0.88',
	'ten 4' => '>= 0.92',
	'bulk 1' => '<= 2.0',
	'hot 8' => '>= 0.88',
	'open 1' => '>= 0.95',
	'open 4' => '>= 0.95',
	'open 16' => '>= 0.95');

sub median
{
	my @v = sort { $a <=> $b } @_;

	return @v % 2 ? $v[ @v / 2 ] : ($v[ @v / 2 - 1 ] + $v[ @v / 2 ]) / 2;
}

# figures by case, way, figure and round
my (%seen, %value, %ways, @cases, @ways);
while (<>)
{
	my ($round, $workload, $clients, $way, @figures) = split;
	my $case = "$workload $clients";

	push @cases, $case unless $seen{$case}++;
	push @ways, $way unless $ways{$way}++ || $way eq 'plain';
	for (@figures)
	{
		my ($name, $number) = split /=/;
		$value{$case}{$way}{$name}{$round} = $number;
	}
}
@ways = sort { ($b eq 'wtcache') <=> ($a eq 'wtcache') || $a cmp $b } @ways;

print "Throughput as a ratio to plain in the same round: median (min to max)."
  . "  W4: time.\n\n";
print '| workload | clients | plain | ', join(' | ', @ways), " | goal |\n";
print '|---|--:|--:|', '---|' x @ways, "---|\n";
for my $case (@cases)
{
	my ($workload, $clients) = split / /, $case;
	my $bulk = $workload eq 'bulk';
	my $plain = $value{$case}{plain}{tps};
	my $base = median(values %$plain);
	my @cells;

	for my $way (@ways)
	{
		my $mine = ($value{$case}{$way} // {})->{tps} // {};
		my @ratios = map {
			$bulk ? $plain->{$_} / $mine->{$_} : $mine->{$_} / $plain->{$_}
		} grep { $plain->{$_} } keys %$mine;
		my @sorted = sort { $a <=> $b } @ratios;

		push @cells, @ratios
		  ? sprintf('**%.2f** (%.2f to %.2f)',
			median(@ratios), $sorted[0], $sorted[-1])
		  : '';
	}
	printf "| %s | %d | %s | %s | %s |\n", $label{$workload}, $clients,
	  $bulk ? sprintf('%.0f ms', 1000 / $base) : sprintf('%.0f tps', $base),
	  join(' | ', @cells), $goal{$case} // '';
}

print "\nLatency in microseconds, p50 / p95 / p99, medians of the rounds.\n\n";
print '| workload | clients | ', join(' | ', 'plain', @ways), " |\n";
print '|---|--:|', '---|' x (@ways + 1), "\n";
for my $case (grep { !/^bulk/ } @cases)
{
	my ($workload, $clients) = split / /, $case;
	my @cells;

	for my $way ('plain', @ways)
	{
		my $mine = $value{$case}{$way};

		push @cells, $mine
		  ? join(' / ',
			map { sprintf '%.0f', median(values %{ $mine->{$_} }) }
			  qw(p50 p95 p99))
		  : '';
	}
	printf "| %s | %d | %s |\n", $label{$workload}, $clients,
	  join(' | ', @cells);
}
