# What an operator sees on a hot standby, which has nothing to do, and of the
# server that it becomes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $primary = Wtcache::Node->start_new('primary',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => {
		'wtcache.connect_timeout' => '300ms',
		'wtcache.push_timeout' => '500ms',
		'max_prepared_transactions' => 5,
		'autovacuum' => 'off' });

$primary->safe_psql('postgres', q{
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	CREATE TABLE items (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('items');
	INSERT INTO items SELECT i, 'v' FROM generate_series(1, 10) i});
$primary->backup('for_standby');
my $standby = Wtcache::Node->new('standby');
$standby->init_from_backup($primary, 'for_standby', has_streaming => 1);
$standby->start;
# What Redis says it has must not be before the WAL that the standby has.
$redis->wait_for_beat($primary);
$primary->safe_psql('postgres', q{
	BEGIN; UPDATE items SET v = 'prepared' WHERE id = 1; PREPARE TRANSACTION 'p'});
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('insert'));

# Of the standby, as somebody who may only watch
sub seen
{
	my ($sql) = @_;

	return $standby->safe_psql('postgres', $sql,
		extra_params => [ '-U', 'watcher' ]);
}

sub status { return seen("SELECT concat_ws('|', $_[0]) FROM wtcache.status"); }

sub becomes
{
	my ($condition, $name) = @_;

	ok($standby->poll_query_until('postgres', "SELECT $condition FROM wtcache.status"), $name)
	  or diag seen('SELECT * FROM wtcache.status');
	return;
}

# --- in recovery -----------------------------------------------------------------

is(status('healthy, advice IS NULL, mode, redis_open, breaker, consecutive_failures, in_flight, uncommitted_batches, worker_state'),
	't|t|write_through|f|closed|0|0|0|not running', 'a standby is healthy');
is(status('endpoint = ' . "'" . $redis->url . "?db=0'"), 't', '... and knows where Redis is');
is(status('worker_pid, watermark, replay_from, lag_bytes, lag_seconds, retained_from, retained_bytes, cold_at, cold_reason, last_failure'),
	'', '... and has nothing else to say');
$redis->pause;
is(status('healthy, advice IS NULL'), 't|t', 'Redis is none of its business');
$redis->resume;
is(seen(q{SELECT count(*) FROM wtcache.stat s, jsonb_each_text(to_jsonb(s)) j
	 WHERE j.key <> 'stats_reset' AND j.value <> '0'}), '0', 'nothing is counted');
is(seen('SELECT relation, sets, deletes, invalidations, bytes, last_change FROM wtcache.stat_attachment'),
	'items|0|0|0|0|', 'nor for its tables');
is(seen('SELECT outcome, pushes, max_time FROM wtcache.stat_latency ORDER BY 1'),
	"failed|0|\nok|0|", 'nor how long it took');
my $before = seen('SELECT stats_reset FROM wtcache.stat');
$standby->safe_psql('postgres', 'SELECT wtcache.stat_reset()');
is(seen("SELECT stats_reset > '$before' FROM wtcache.stat"), 't', 'it can be reset');

# What the exporter asks
my ($name, %queries);

foreach my $line (split /\n/, slurp_file("$FindBin::RealBin/../../monitoring/queries.yaml"))
{
	$name = $1 if $line =~ /^(\w+):/;
	$queries{$name} .= "$line\n" if $name && $line =~ /^    \S/ && $line !~ /^    - /
	  || $name && $line =~ /^     +\S/ && $line !~ /^        (?:usage|description):/;
}
is(scalar keys %queries, 7, 'the queries of the exporter');
foreach my $q (sort keys %queries)
{
	isnt(seen($queries{$q}), '', "$q has an answer on a standby");
}
sub gauges
{
	return seen("SELECT concat_ws(' ', healthy, standby, worker_up, slot_present, lag_seconds, lag_bytes, retained_bytes)"
		  . " FROM ($queries{wtcache}) q");
}
is(gauges(), '1 1 0 0 0', 'the gauges of a standby');

# --- promoted --------------------------------------------------------------------

# The worker begins; first it has to wait for Redis.
$primary->stop;
$redis->pause;
$standby->promote;
becomes(q{NOT healthy AND advice LIKE 'The worker has not been able to use Redis at %: it does not answer in time. %'},
	'promoted, but Redis does not answer');
like(gauges(), qr/^0 0 1 1 /, 'the gauges say so');
$redis->resume;
becomes(q{healthy AND advice IS NULL AND worker_state LIKE 'idle%' AND lag_seconds = 0},
	'promoted, and healthy');
is(status('retained_bytes >= 0, lag_bytes >= 0, redis_open, worker_pid > 0'),
	't|t|t|t', '... with all there is to say');
like(gauges(), qr/^1 0 1 1 0 /, 'the gauges of what was a standby');
$standby->safe_psql('postgres', q{UPDATE items SET v = 'new' WHERE id = 2});
is(seen('SELECT sets, deletes FROM wtcache.stat_attachment'), '1|0', 'it counts');
is(seen('SELECT pushes_ok FROM wtcache.stat'), '1', '... what it pushes');

# What the primary has prepared comes true, but nobody has its numbers.
$standby->safe_psql('postgres', q{COMMIT PREPARED 'p'});
like($redis->cli('get', 'items:1'), qr/"prepared"/, 'prepared before the promotion');
is(seen('SELECT sets, deletes FROM wtcache.stat_attachment'), '1|0', '... is not counted');
becomes('healthy AND uncommitted_batches = 0', 'healthy');
$standby->stop;

done_testing();
