# Filling the cache beside those who write the same rows, and emptying it: what
# is newest wins, nothing is lost by a kill, nobody is waited for.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;
use Wtcache::Resp;

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $rows = 20_000;
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s',
		'wtcache.breaker_failures' => 3,
		'max_prepared_transactions' => 10,
		'restart_after_crash' => 'on'
	});

sub run { return $node->safe_psql('postgres', $_[0]); }

# The rows are older than the attachment: no replay brings them.  There is room
# for the hot row to stay in its block, the first of a batch.
run(qq{
	CREATE TABLE items (id int PRIMARY KEY, seq bigint, v text) WITH (fillfactor = 50);
	INSERT INTO items SELECT i, 0, 'first ' || i FROM generate_series(1, $rows) i;
	SELECT wtcache.attach('items', tags => '{items}')});

# A psql in the background: a handle, with its output
sub start_psql
{
	my ($sql) = @_;
	my %psql = (out => '', err => '');

	$psql{run} = IPC::Run::start(
		[
			'psql', '-X', '-A', '-t', '-q', '-d', $node->connstr('postgres'),
			'-v', 'ON_ERROR_STOP=1', '-c', $sql
		],
		'<', \undef, '>', \$psql{out}, '2>', \$psql{err},
		IPC::Run::timeout($timeout));
	return \%psql;
}

sub start_load
{
	my ($seconds) = @_;
	my $script = $node->basedir . '/load.sql';
	my %load = (out => '');

	open(my $file, '>', $script) or die "could not write \"$script\": $!";
	print $file qq{
		\\set id random(2, $rows)
		\\set r random(1, 10)
		UPDATE items SET seq = seq + 1 WHERE id = 1;
		\\if :r <= 6
		UPDATE items SET seq = seq + 1, v = 'updated' WHERE id = :id;
		\\elif :r <= 8
		DELETE FROM items WHERE id = :id;
		\\else
		INSERT INTO items VALUES (:id, 0, 'inserted')
			ON CONFLICT (id) DO UPDATE SET seq = items.seq + 1;
		\\endif
	};
	close $file;
	$load{run} = IPC::Run::start(
		[
			'pgbench', '-n', '-c', 4, '-T', $seconds, '-f', $script,
			$node->connstr('postgres')
		],
		'<', \undef, '>', \$load{out}, '2>', \$load{out},
		IPC::Run::timeout($timeout));
	return \%load;
}

sub progress
{
	my ($columns, $table) = @_;

	$table //= 'items';
	return run("SELECT $columns FROM wtcache.stat_progress_warm"
		  . " WHERE relation = '$table'::regclass");
}

# Wait until the view says so.
sub wait_progress
{
	my ($condition) = @_;

	return $node->poll_query_until('postgres',
		"SELECT count(*) > 0 FROM wtcache.stat_progress_warm WHERE $condition");
}

sub keys_of
{
	return $redis->cli('eval',
		"return #redis.call('keys', ARGV[1])", 0, "$_[0]:*");
}

# Every row is in Redis and nothing else
sub agrees
{
	my ($name, $table, $key) = @_;
	my @left;

	$table //= 'items';
	is(run(q{SELECT wtcache.wait('120s')}), 't', "$name: all pushed");
	@left = Wtcache::Compare::settle(
		sub {
			my ($wrong, $keys) = Wtcache::Compare::count_differences($node,
				$redis, $table, $key // 'id');
			return $wrong ? "$wrong differ, $keys keys" : ();
		},
		10);
	is("@left", '', "$name: Redis agrees with $table");
	return;
}

# --- under load, after FLUSHALL ----------------------------------------------

my $load = start_load(600);
my $resp = Wtcache::Resp->new($redis->socket);
my ($last, $back, $seen) = (0, 0, 0);

is($redis->poll_for('exists items:1', '1'), 1, 'load: it has begun');
$redis->cli('flushall');
foreach my $round (1 .. 6)
{
	my $size = $round % 2 ? 1000 : 10_000;
	my $warm = start_psql("CALL wtcache.warm('items', batch_size => $size)");

	while ($warm->{run}->pumpable)
	{
		my $value = $resp->command('GET', 'items:1');

		if (defined $value && $value =~ /"seq":(\d+)/)
		{
			$back++ if $1 < $last;
			$last = $1;
			$seen++;
		}
		$warm->{run}->pump_nb if $seen % 100 == 0 || !defined $value;
	}
	# the hot row may have been locked whenever it was looked at
	ok($warm->{run}->finish, "load: warmed ($round)");
	unlike($warm->{err}, qr/ERROR|WARNING/, '... without an error');
}
ok($load->{run}->pumpable, 'load: it was there all the time');
is($back, 0, "load: the hot key never went back in $seen readings");
cmp_ok($last, '>', 100, 'load: the hot key was written');
$load->{run}->signal('TERM');
$load->{run}->finish;
agrees('load');
is(progress('phase'), 'finished', 'load: finished');
is(run("SELECT count(*) FROM items WHERE v LIKE 'first%'") > $rows / 10,
	1, 'load: many rows were brought by warming alone');

# --- kill -9 in the middle ---------------------------------------------------

my $n = run('SELECT count(*) FROM items');

is(run("SELECT wtcache.clear('items')"), $n, 'clear: all of them');
is(keys_of('items'), 0, 'clear: none is left');
my $warm = start_psql(
	"CALL wtcache.warm('items', batch_size => 200, max_rate => 2000)");
ok(wait_progress("phase = 'scanning' AND rows_done > 1000 AND rate > 0"
		  . ' AND rows_total > 0 AND blocks_done < blocks_total'
		  . " AND remaining > '0s'"),
	'kill: progress is seen');
my ($code, $out, $err) =
  $node->psql('postgres', "CALL wtcache.warm('items')");
like($err, qr/"items" is being warmed by another session/,
	'kill: there is no second one');
kill 'KILL', progress('pid');
$warm->{run}->finish;
ok($node->poll_query_until('postgres', 'SELECT true'), 'kill: back again');
is(progress("phase || coalesce(pid::text, '')"), 'interrupted', 'kill: seen');
my $done = progress('rows_done');
cmp_ok($done, '>', 1000, "kill: $done rows were done");
cmp_ok($done, '<', $n, '... and not all');
run(q{CALL wtcache.warm('items', resume => true)});
is(progress("phase || ' ' || rows_done || ' ' || rows_pushed"),
	"finished $n $n", 'kill: went on where it was');
agrees('kill');

# --- rate, condition, rewriting, partitions ----------------------------------

my $begun = time;
run(q{CALL wtcache.warm('items', max_rate => 1000, batch_size => 500,
	condition => 'id <= 2000')});
cmp_ok(time - $begun, '>', progress('rows_pushed') / 1000 / 2, 'rate: kept');

run(q{SELECT wtcache.clear('items')});
run(q{CALL wtcache.warm('items', condition => $$v LIKE 'first%' AND id % 7 = 0$$)});
is(keys_of('items'), run(q{SELECT count(*) FROM items WHERE v LIKE 'first%' AND id % 7 = 0}),
	'condition: only those');

run(q{SELECT wtcache.clear('items')});
$warm = start_psql(
	"CALL wtcache.warm('items', batch_size => 500, max_rate => 10000)");
wait_progress("phase = 'scanning' AND rows_done > 3000");
run('CLUSTER items USING items_pkey');
$warm->{run}->finish;
is($warm->{err}, '', 'rewritten: warmed');
cmp_ok(progress('rows_done'), '>', $n, 'rewritten: read again');
agrees('rewritten');

# the first two are attached later on: one is older than the others, one newer
run(q{
	CREATE TABLE parts_old (id int PRIMARY KEY, v text);
	INSERT INTO parts_old SELECT i, 'old' FROM generate_series(5000, 5999) i;
	CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
	CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (1000);
	CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (1000) TO (5000)
		PARTITION BY HASH (id);
	CREATE TABLE parts_b0 PARTITION OF parts_b FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE parts_b1 PARTITION OF parts_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	INSERT INTO parts SELECT i, repeat('v', 100) FROM generate_series(0, 4999) i;
	SELECT wtcache.attach('parts')});
run(q{CALL wtcache.warm('parts', batch_size => 70)});
agrees('partitions', 'parts');
is(progress("rows_done || ' ' || (blocks_done = blocks_total)", 'parts'),
	'5000 true', 'partitions: all of it');

foreach my $way ('beside it', 'before it was killed')
{
	run(q{SELECT wtcache.clear('parts')});
	$warm = start_psql("CALL wtcache.warm('parts', batch_size => 50, max_rate => 1500)");
	ok( $node->poll_query_until('postgres',
			"SELECT count(*) > 0 FROM wtcache.stat_progress_warm WHERE"
			  . " relation = 'parts'::regclass AND partition::text LIKE 'parts_b_'"
			  . " AND phase = 'scanning'"),
		"attached $way: it has come to the second partition");
	run(q{
		ALTER TABLE parts ATTACH PARTITION parts_old FOR VALUES FROM (5000) TO (6000);
		CREATE TABLE parts_new (id int PRIMARY KEY, v text);
		INSERT INTO parts_new SELECT i, 'new' FROM generate_series(6000, 6999) i;
		ALTER TABLE parts ATTACH PARTITION parts_new FOR VALUES FROM (6000) TO (7000)});
	if ($way ne 'beside it')
	{
		ok( $node->poll_query_until('postgres',
				"SELECT count(*) > 0 FROM wtcache.stat_progress_warm WHERE"
				  . " relation = 'parts'::regclass AND partition = 'parts_old'::regclass"),
			'attached: it has come to the one that was added');
		run("SELECT pg_terminate_backend(" . progress('pid', 'parts') . ")");
	}
	$warm->{run}->finish;
	run(q{CALL wtcache.warm('parts', resume => true, batch_size => 70)})
	  if $way ne 'beside it';
	agrees("attached $way", 'parts');
	is(progress("phase || ' ' || rows_done", 'parts'), 'finished 7000',
		"attached $way: everything was read, once");
	run(q{
		ALTER TABLE parts DETACH PARTITION parts_old;
		DROP TABLE parts_new});
}

# --- rows that somebody has locked -------------------------------------------

run(q{SELECT wtcache.clear('items')});
run(q{INSERT INTO items SELECT i, 0, 'first' FROM generate_series(1, 20) i
	ON CONFLICT DO NOTHING});
run(q{SELECT wtcache.clear('items')});
run(q{BEGIN;
	UPDATE items SET v = 'prepared' WHERE id BETWEEN 10 AND 13;
	SELECT FROM items WHERE id = 15 FOR UPDATE;
	PREPARE TRANSACTION 'p'});
($code, $out, $err) = $node->psql('postgres', "CALL wtcache.warm('items')");
is($code, 0, 'locked: not hung');
like($err, qr/NOTICE:  rows that are locked .*skipped: 5/, 'locked: reported');
is(progress("phase || ' ' || rows_skipped"), 'finished 5', 'locked: in the view');
is($redis->cli('exists', map { "items:$_" } 10 .. 15), 1, 'locked: left alone');
run(q{ROLLBACK PREPARED 'p'});
is(run(q{CALL wtcache.warm('items', resume => true)}), '', 'locked: resumed');
is(progress("phase || ' ' || rows_skipped"), 'finished 0', 'locked: none any more');
agrees('locked');

# what was prepared before the clearing and is committed after it
run(q{BEGIN;
	UPDATE items SET v = 'prepared' WHERE id BETWEEN 10 AND 13;
	DELETE FROM items WHERE id = 14;
	PREPARE TRANSACTION 'p'});
run(q{SELECT wtcache.clear('items')});
is($redis->cli('exists', map { "items:$_" } 9 .. 15),
	5, 'prepared: cleared but for what is being changed');
run(q{CALL wtcache.warm('items')});
run(q{COMMIT PREPARED 'p'});
run(q{CALL wtcache.warm('items', resume => true)});
agrees('prepared');

# a lock that goes away before the end
run(q{SELECT wtcache.clear('items')});
my $s = $node->session;
$s->query_safe('BEGIN; SELECT FROM items WHERE id BETWEEN 1 AND 20 FOR UPDATE');
$warm = start_psql("CALL wtcache.warm('items', batch_size => 1000, max_rate => 10000)");
ok(wait_progress("phase = 'scanning' AND rows_skipped > 0"), 'unlocked: seen');
$s->query_safe('ROLLBACK');
$warm->{run}->finish;
is($warm->{err}, '', 'unlocked: nothing to report');
agrees('unlocked');
$s->quit;

# --- Redis away, and full ----------------------------------------------------

run(q{SELECT wtcache.clear('items')});
run(q{SELECT wtcache.wait('60s')});
$redis->stop('KILL');
my $wal = run('SELECT pg_current_wal_insert_lsn()');
($code, $out, $err) = $node->psql('postgres',
	q{CALL wtcache.warm('items', redis_timeout => '2s')});
is($code, 3, 'away: an error');
like($err, qr/ERROR:  Redis has not come back, the warming is interrupted/,
	'away: a clear one');
like($err, qr/HINT:  .*resume => true/, '... with a hint');
is(progress('phase'), 'interrupted', 'away: in the view');
cmp_ok(progress('rows_pushed'), '<=', 3000, 'away: did not run on');
$redis->start;
run(q{CALL wtcache.warm('items', resume => true)});
is(progress('rows_done'), $n = run('SELECT count(*) FROM items'),
	'away: went on');
agrees('away');

run(q{SELECT wtcache.clear('items')});
my ($used) = $redis->cli('info', 'memory') =~ /^used_memory:(\d+)/m;
$redis->cli('config', 'set', 'maxmemory', $used + 1_000_000);
($code, $out, $err) = $node->psql('postgres', "CALL wtcache.warm('items')");
like($err, qr/ERROR:  Redis could not store all rows/, 'full: an error');
like($err, qr/DETAIL:  .*oom/i, 'full: says why');
$redis->cli('config', 'set', 'maxmemory', 0);
run(q{CALL wtcache.warm('items', resume => true)});
agrees('full');

# --- clear and detach --------------------------------------------------------

run(q{BEGIN; SELECT wtcache.clear('items'); ROLLBACK});
agrees('rolled back');

$load = start_load(600);
my $updated = run('SELECT sum(seq) FROM items');
$node->poll_query_until('postgres', "SELECT sum(seq) > $updated + 100 FROM items");
$warm = start_psql("CALL wtcache.warm('items', batch_size => 100, max_rate => 2000)");
wait_progress("phase = 'scanning' AND rows_done > 500");
cmp_ok(run(q{SELECT wtcache.clear('items')}), '>', 0, 'load: cleared');
run(q{SELECT wtcache.detach('items')});
$warm->{run}->finish;
like($warm->{err}, qr/ERROR:  table "items" is not attached to wtcache/,
	'detach: warming ends');
$updated = run('SELECT sum(seq) FROM items');
$node->poll_query_until('postgres', "SELECT sum(seq) > $updated + 100 FROM items");
$load->{run}->signal('TERM');
$load->{run}->finish;
is(run(q{SELECT wtcache.wait('60s')}), 't', 'detach: all pushed');
is(keys_of('items'), 0, 'detach: no key is left');
is($redis->cli('exists', 'tag:items'), 0, 'detach: nor one in the tag');
# Redis has lost them when it was killed
run(q{CALL wtcache.warm('parts')});
run(q{SELECT wtcache.detach('parts', drop_keys => false)});
is(keys_of('parts'), 5000, 'detach: keys are kept on request');

# somebody has written a partition, not through its parent, and commits while
# the keys are being deleted
run(q{SELECT wtcache.attach('parts')});
$s = $node->session;
my $detacher = $node->session;
run('DELETE FROM parts WHERE id = 999');
$s->query_safe(q{BEGIN; INSERT INTO parts_a VALUES (999, 'again')});
$node->begin_query($detacher, q{SELECT wtcache.detach('parts')});
ok($node->poll_query_until('postgres',
		q{SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'parts_a'::regclass}),
	'detach: waits for who writes a partition');
$s->query_safe('COMMIT');
$detacher->query_safe('SELECT 1');
is(run(q{SELECT wtcache.wait('60s')}), 't', 'detach: all pushed');
is(keys_of('parts'), 0, 'detach: no key of a partition is left');
$_->quit foreach $s, $detacher;

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP/, 'no crash');
done_testing();
