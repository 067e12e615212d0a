# Turns the measurements of test/bench/run into Markdown tables.
#
# Input: lines "round case clients way NAME=NUMBER...".  A ratio is taken within a
# round, between rates (tps); a bulk line's rate is statements per second.

use strict;
use warnings;

my %label = (
	update => 'W1 single-row UPDATE',
	insert => 'W2 single-row INSERT',
	ten => 'W3 ten UPDATEs in a transaction',
	bulk => 'W4 one UPDATE of all rows, time',
	hot => 'W5 ten hot rows',
	open => 'W1, Redis down, breaker open');
my @ways = qw(plain wtcache async app app_bt node cdc);

# What is to be reached: case and clients, what is compared with what, the
# sense, the bound, and what to call it.  Without "with" it is no ratio but a
# figure of its own.
my @goals;
for ('update 1', 'update 4', 'update 16', 'insert 4', 'ten 4', 'hot 8')
{
	push @goals, [ $_, 'wtcache', 'app', '>=', 0.95 ];
	push @goals, [ $_, 'wtcache', 'app_bt', '>=', 1.2 ] unless /^ten/;
}
push @goals,
  [ 'bulk 1', 'wtcache', 'app', '<=', 1 ],
  [ 'update 4', 'async', 'plain', '>=', 0.75 ],
  [ 'update 16', 'async', 'plain', '>=', 0.85 ],
  (map { [ "open $_", 'wtcache', 'plain', '>=', 0.95 ] } 1, 4, 16),
  [ 'fill 1', 'warm', 'pipe', '>=', 0.7, 'rows/s of `wtcache.warm()`, to `redis-cli --pipe`' ],
  [ 'verify 1', 'orphans', 'rows', '>=', 0.5, 'rows/s of `wtcache.verify_summary()` with orphans, to without' ],
  [ 'replay 16', 'replay', 'commit', '>=', 6, 'replay of W1, 16 clients: rows/s, to those committed' ],
  [ 'replay_bulk 1', 'replay', 'commit', '>=', 1.5, 'replay of W4: rows/s, to those committed' ],
  [ 'memory 1', 'wtcache', undef, '<=', 0.01, 'bytes of Redis per key, beside values and tags' ],
  [ 'wal_update 1', 'wtcache', undef, '<=', 100, 'bytes of WAL of one UPDATE, beside plain and payload' ],
  [ 'wal_ten 1', 'wtcache', undef, '<=', 100, 'bytes of WAL of ten UPDATEs in a transaction, the same' ];

sub median
{
	my @v = sort { $a <=> $b } @_;

	return @v % 2 ? $v[ @v / 2 ] : ($v[ @v / 2 - 1 ] + $v[ @v / 2 ]) / 2;
}

# figures by case, way, name and round
my (%seen, %value, @cases);
while (<>)
{
	my ($round, $workload, $clients, $way, @figures) = split;
	my $case = "$workload $clients";

	push @cases, $case unless $seen{$case}++ || !$label{$workload};
	for (@figures)
	{
		my ($name, $number) = split /=/;
		$value{$case}{$way}{$name}{$round} = $number;
	}
}
@ways = grep { my $way = $_; grep { $value{$_}{$way} } @cases } @ways;

# The label of a case, and its number of clients
sub named
{
	my ($workload, $clients) = split / /, shift;

	return ($label{$workload}, $clients);
}

# The ratios of two ways, in the rounds that have both; of times in bulk
sub ratios
{
	my ($case, $way, $with) = @_;
	my $mine = ($value{$case}{$way} // {})->{tps} // {};
	my $other = ($value{$case}{$with} // {})->{tps} // {};

	return map {
		$case =~ /^bulk/
		  ? $other->{$_} / $mine->{$_}
		  : $mine->{$_} / $other->{$_}
	} grep { $other->{$_} } keys %$mine;
}

sub spread
{
	my @v = sort { $a <=> $b } @_;

	return @v
	  ? sprintf('**%.2f** (%.2f to %.2f)', median(@v), $v[0], $v[-1])
	  : '';
}

sub row { print '| ', join(' | ', @_), " |\n" }

# A row for each case, its cells by way
sub table
{
	my ($cell, @of) = @_;

	row('workload', 'clients', @of);
	print '|---|--:|', '---|' x @of, "\n";
	for my $case (@cases)
	{
		my @cells = map { $cell->($case, $_) } @of;

		row(named($case), @cells) if grep { $_ ne '' } @cells;
	}
	print "\n";
}

if (@cases)
{
	print "Throughput as a ratio to plain in the same round: median (min to max)."
	  . "  W4: time.\n\n";
	table(sub {
		my ($case, $way) = @_;
		my $tps = ($value{$case}{$way} // {})->{tps};

		return spread(ratios($case, $way, 'plain')) if $way ne 'plain';
		return '' if !$tps;
		return sprintf '%.0f ms', 1000 / median(values %$tps)
		  if $case =~ /^bulk/;
		return sprintf '%.0f tps', median(values %$tps);
	}, @ways);
}

my @reached;
for (@goals)
{
	my ($case, $way, $with, $sense, $bound, $what) = @$_;
	my ($label, $clients) = named($case);
	my @v =
	  $with
	  ? ratios($case, $way, $with)
	  : values %{ ($value{$case}{$way} // {})->{bytes} // {} };

	next if !@v;
	$what //= "$label: $way to $with";
	push @reached,
	  [ $what, $clients, spread(@v), "$sense $bound",
		($sense eq '>=' ? median(@v) >= $bound : median(@v) <= $bound)
		? 'met'
		: 'not met' ];
}
if (@reached)
{
	print "Goals: median (min to max) of the rounds.\n\n";
	row('what', 'clients', 'measured', 'goal', '');
	print "|---|--:|---|---|---|\n";
	row(@$_) for @reached;
	print "\n";
}

my @late = grep {
	my $way = $_;
	grep { !/^bulk/ && ($value{$_}{$way} // {})->{lag} } @cases
} @ways;
if (@late)
{
	print 'Ways that write Redis after the commit, if their lag does not count:'
	  . " ratio to plain; in brackets the\nlag, the time from the end of the load"
	  . " until all is in Redis, in milliseconds.\n\n";
	table(sub {
		my ($case, $way) = @_;
		my $mine = $value{$case}{$way} // {};
		my $plain = ($value{$case}{plain} // {})->{tps};

		return '' if !$mine->{lag} || !$plain || $case =~ /^bulk/;
		return sprintf '%.2f (%.0f)',
		  median(map { $mine->{committed}{$_} / $plain->{$_} } keys %$plain),
		  median(values %{ $mine->{lag} });
	}, @late);
}

if (@cases)
{
	print "Latency in microseconds, p50 / p95 / p99, medians of the rounds.\n\n";
	table(sub {
		my ($case, $way) = @_;
		my $mine = $value{$case}{$way};

		return '' if !$mine || $case =~ /^bulk/;
		return join ' / ',
		  map { sprintf '%.0f', median(values %{ $mine->{$_} }) } qw(p50 p95 p99);
	}, @ways);
}
