
=pod

=head1 NAME

Wtcache::Compare - compare attached tables with what Redis holds, row by row

=head1 SYNOPSIS

  use Wtcache::Compare;

  my $held = Wtcache::Compare::contents($redis, 'items:*');    # key => value
  my @differences = Wtcache::Compare::differences($node, $redis, 'items', 'id');

=head1 DESCRIPTION

For keys and values without line breaks.  It does not ask wtcache anything.

=cut

package Wtcache::Compare;

use strict;
use warnings;

# All string values whose keys match a pattern
sub contents
{
	my ($redis, $pattern) = @_;
	my @lines = split /\n/, $redis->cli('eval', q{
		local keys, all = redis.call('keys', ARGV[1]), {}
		for i = 1, #keys, 1000 do
			local last = math.min(i + 999, #keys)
			local values = redis.call('mget', unpack(keys, i, last))
			for j = i, last do
				all[#all + 1] = keys[j]
				all[#all + 1] = values[j - i + 1] or ''
			end
		end
		return all}, 0, $pattern), -1;

	return {@lines};
}

# What a table's rows look like in Redis; only those that a condition selects
sub expected
{
	my ($node, $table, $key, $condition) = @_;

	return {
		map { split /\t/, $_, 2 } split /\n/,
		$node->safe_psql('postgres',
			"SELECT '$table:' || $key || E'\\t' || row_to_json(t) FROM $table t"
			  . ' WHERE ' . ($condition || 'true')) };
}

# Differences, one line each, for a table with a key of one column.
# rows => condition: which rows must be in Redis (all of them otherwise);
# others must be absent.
sub differences
{
	my ($node, $redis, $table, $key, %o) = @_;
	my $held = contents($redis, "$table:*");
	my $expected = expected($node, $table, $key, $o{rows});
	my @differences;

	foreach my $k (sort keys %$expected)
	{
		my $value = delete $held->{$k};

		push @differences,
		  "$k: table $expected->{$k}, Redis " . ($value // 'nothing')
		  if !defined $value || $value ne $expected->{$k};
	}
	push @differences, map { "$_: no row, Redis $held->{$_}" } sort keys %$held;
	return @differences;
}

1;
