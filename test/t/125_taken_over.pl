# Two servers and one Redis: the one that was started later has it, the other
# one stands back, and does so quietly, until it is told something else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $other = Wtcache::Redis->new;
my %conf = (
	'wtcache.connect_timeout' => '300ms',
	'wtcache.breaker_failures' => 0,
	'autovacuum' => 'off');

sub start_one
{
	my ($name) = @_;
	my $node = Wtcache::Node->start_new($name, url => $redis->url, conf => \%conf);

	$node->safe_psql('postgres', qq{
		CREATE TABLE $name (id int PRIMARY KEY, v int);
		SELECT wtcache.attach('$name')});
	return $node;
}

sub writes
{
	my ($node, $name, $v) = @_;

	$node->safe_psql('postgres', qq{
		INSERT INTO $name VALUES (1, $v)
			ON CONFLICT (id) DO UPDATE SET v = excluded.v});
	return;
}

# Processor time that a process has used, in seconds.
sub cpu_of
{
	my ($pid) = @_;
	my @stat = split ' ', slurp_file("/proc/$pid/stat") =~ s/.*\) //sr;

	return ($stat[11] + $stat[12]) / 100;
}

my $first = start_one('first');
my $second = start_one('second');

writes($first, 'first', 1);
ok($first->poll_query_until('postgres',
		"SELECT worker_state LIKE 'standing back%' FROM wtcache.status()"),
	'the first one stands back');

# Its connection ends.
$redis->cli('CLIENT', 'KILL', 'TYPE', 'normal');
my $before = cpu_of($first->worker_pid);

sleep 2;
cmp_ok(cpu_of($first->worker_pid) - $before, '<', 0.5, 'it sleeps');
writes($second, 'second', 1);
ok($redis->poll_for('EXISTS second:1', '1'), 'the second one goes on');

# It is told to take over while Redis is away.
$redis->stop;
is($first->safe_psql('postgres', 'SELECT wtcache.take_over()'), 't', 'told');
sleep 1;
$before = cpu_of($first->worker_pid);
sleep 1;
cmp_ok(cpu_of($first->worker_pid) - $before, '<', 0.5, 'it waits for Redis');
$redis->start;
ok($first->poll_query_until('postgres',
		"SELECT worker_state LIKE 'idle%' FROM wtcache.status()"),
	'it has taken over');
writes($first, 'first', 2);
ok($redis->poll_for('EXISTS first:1', '1', 20), 'and writes');

# The second one notices, and does not take it back.  It is given its own.
writes($second, 'second', 2);
ok($second->poll_query_until('postgres',
		"SELECT worker_state LIKE 'standing back%' FROM wtcache.status()"),
	'the second one stands back');
$second->reconfigure('wtcache.url' => $other->url);
writes($second, 'second', 3);
is($redis->cli('EXISTS', 'second:1'), '0', 'it has written no more');
ok($other->poll_for('EXISTS second:1', '1', 20), 'and has another Redis then');

done_testing();
