
=pod

=head1 NAME

Wtcache::Compare - compare attached tables with what Redis holds, row by row

=head1 SYNOPSIS

  use Wtcache::Compare;

  my $held = Wtcache::Compare::contents($redis, 'items:*');    # key => value
  my @differences = Wtcache::Compare::differences($node, $redis, 'items', 'id');
  my ($wrong, $keys) = Wtcache::Compare::count_differences($node, $redis, 'items', 'id');

=head1 DESCRIPTION

  # wait until there are none, without anybody's call
  is(join("\n", Wtcache::Compare::settle(
      sub { Wtcache::Compare::differences($node, $redis, 'items', 'id') })), '');

For keys and values without line breaks.  It does not ask wtcache anything.

=cut

package Wtcache::Compare;

use strict;
use warnings;

use Time::HiRes qw(sleep time);

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

# For many rows: how many differences there are, and how many keys in Redis.
# The server compares, as it has the rows.  cold => 1: rows may be absent from
# Redis.
sub count_differences
{
	my ($node, $redis, $table, $key, %o) = @_;
	my $held = contents($redis, "$table:*");
	my $join = $o{cold} ? 'LEFT' : 'FULL';
	my $path = $node->basedir . '/held';

	open(my $file, '>', $path) or die "could not write \"$path\": $!";
	print $file map { "$_\t$held->{$_}\n" } keys %$held;
	close $file or die "could not write \"$path\": $!";
	my $wrong = $node->safe_psql('postgres', qq{
		CREATE TEMP TABLE held (key text, value text);
		\\copy held FROM '$path'
		SELECT count(*) FROM held $join JOIN $table t
			ON key = '$table:' || t.$key
		WHERE value IS DISTINCT FROM row_to_json(t)::text});
	return ($wrong, scalar keys %$held);
}

# Differences of the tag sets.  The query returns tag and key of what has to be
# in them; every set in Redis is looked at.  Keys that match $dead may be in a
# set although they are gone: wtcache.delete() does not know what tags they had.
sub tag_differences
{
	my ($node, $redis, $query, $dead) = @_;
	my %expected = map { $_ => 1 } split /\n/,
	  $node->safe_psql('postgres',
		"SELECT tag || E'\t' || key FROM ($query) AS q(tag, key)");
	my @held = split /\n/, $redis->cli('eval', q{
		local all = {}
		for _, tag in ipairs(redis.call('keys', 'tag:*')) do
			for _, key in ipairs(redis.call('smembers', tag)) do
				all[#all + 1] = string.sub(tag, 5) .. '\t' .. key
			end
		end
		return all}, 0);
	my @more = sort grep { !delete $expected{$_} } @held;
	my @differences;

	foreach my $more (@more)
	{
		my ($tag, $key) = split /\t/, $more;

		push @differences, "tag, key $more: only in Redis"
		  if !defined $dead || $key !~ $dead || $redis->cli('exists', $key);
	}
	push @differences, map { "tag, key $_: only in the table" } sort keys %expected;
	return @differences;
}

# Poll until a function returns no differences; returns those that stay.
sub settle
{
	my ($differences, $limit) = @_;
	my $deadline = time + ($limit || $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180);
	my @left;

	while (@left = $differences->())
	{
		last if time > $deadline;
		sleep 0.1;
	}
	return @left;
}

1;
