# wtcache.fetch(), fetch_many() and remember(): read from Redis, else from the
# table, which fills Redis; once for all sessions, and never with what others
# must not see.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => {
		'wtcache.leases' => 'on',
		'wtcache.ttl_jitter' => 50,
		'wtcache.lease_ttl' => '60s',
		'wtcache.connect_timeout' => '20s',
		'wtcache.push_timeout' => '20s',
		wal_writer_delay => '10s',
		autovacuum => 'off',
		fsync => 'on',
		max_connections => 150
	});

# Waits where a test wants a reader to stand, after the row has been read
$node->safe_psql('postgres', q{
	CREATE FUNCTION stop_here(id int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
	BEGIN
		IF current_setting('test.stop', true) = 'on' THEN
			PERFORM pg_advisory_xact_lock_shared(7);
		END IF;
		RETURN id <> 50;
	END $$;
	CREATE TABLE item (id int PRIMARY KEY, v text, cat text);
	SELECT wtcache.attach('item', tags => ARRAY['cat:{cat}'], ttl => '10 minutes',
		condition => 'stop_here(id)');
	INSERT INTO item SELECT i, 'first', 'a' FROM generate_series(1, 50) i;
	CREATE TABLE pair (a int, b text, v int, PRIMARY KEY (a, b));
	SELECT wtcache.attach('pair', format => 'hash');
	INSERT INTO pair VALUES (1, 'x', 10), (1, 'y', 11);
	CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
	CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
	SELECT wtcache.attach('part');
	INSERT INTO part VALUES (1, 'in a partition')});
# There are leases for so many milliseconds, and all has been replayed that was not
# known to be in Redis.
sub leases_for
{
	my ($ms) = @_;

	$redis->poll_for('hmget wtcache:leases ttl closed', "$ms\n") or die 'no leases';
	$node->poll_query_until('postgres', q{
		SELECT redis_open AND worker_state LIKE 'idle%' AND replay_from IS NULL
		FROM wtcache.status}) or die 'the worker has something to do';
	return;
}

sub run { return $node->safe_psql('postgres', $_[0]); }
sub image { return qq({"v": "$_[1]", "id": $_[0], "cat": "a"}); }
sub forget { $redis->cli('del', map { ($_, "wtcache:lease:$_") } @_); return; }
sub stored { return $redis->cli('get', $_[0]); }

sub counted
{
	my ($counter, $how_many, $name, $do) = @_;
	my $before = run("SELECT $counter FROM wtcache.stat_read");

	$do->();
	is(run("SELECT $counter FROM wtcache.stat_read") - $before, $how_many, $name);
	return;
}

# --- what it returns, and fills

leases_for(60000);

is(run(q{SELECT wtcache.fetch('item', 1)}), image(1, 'first'), 'from Redis');
my $pushed = stored('item:1');
forget('item:1');
counted('misses', 1, 'a miss', sub {
	is(run(q{SELECT wtcache.fetch('item', 1)}), image(1, 'first'), 'from the table');
});
is(stored('item:1'), $pushed, 'what is filled is what had been pushed');
{
	my $filled = $redis->cli('pttl', 'item:1');

	run('UPDATE item SET v = v WHERE id = 1');
	cmp_ok(abs($redis->cli('pttl', 'item:1') - $filled), '<', 20000, 'for as long');
	forget('item:1');
	run(q{SELECT wtcache.fetch('item', 1)});
}
is($redis->cli('sismember', 'tag:cat:a', 'item:1'), 1, 'under its tag');
counted('hits', 1, 'and is a hit', sub {
	is(run(q{SELECT wtcache.fetch('item', '1')}), image(1, 'first'), 'by a text');
});
run(q{SELECT wtcache.invalidate_tags('cat:a')});
is(stored('item:1'), '', 'the tag deletes it');

counted('misses', 1, 'what is not there is looked for once', sub {
	is(run(q{SELECT wtcache.fetch('item', 99) IS NULL AND wtcache.fetch('item', 99) IS NULL}),
		't', 'no row');
});
is(run(q{SELECT wtcache.fetch('item', NULL::int) IS NULL}), 't', 'NULL is no row');
run(q{INSERT INTO item VALUES (99, 'new', 'a')});
is(run(q{SELECT wtcache.fetch('item', 99)}), image(99, 'new'), 'until it is there');

is(run(q{SELECT wtcache.fetch('pair', 1, 'y')}), '{"a": "1", "b": "y", "v": "11"}',
	'two columns, a hash');
my $fields = $redis->cli('hgetall', 'pair:1:y');
forget('pair:1:y');
is(run(q{SELECT wtcache.fetch('pair', VARIADIC ARRAY['1', 'y'])}),
	'{"a": "1", "b": "y", "v": "11"}', 'from the table');
is($redis->cli('hgetall', 'pair:1:y'), $fields, 'filled');
forget('pair:1:x', 'pair:1:y');
is(run(q{SELECT string_agg(ordinality || key || coalesce(image->>'v', '-'), ',')
	FROM wtcache.fetch_many('pair', ARRAY[['1', 'y'], ['1', 'x'], ['2', 'x']])}),
	'1pair:1:y11,2pair:1:x10,3pair:2:x-', 'many of two columns');
is($redis->cli('exists', 'pair:1:x', 'pair:1:y'), 2, 'all filled');
forget('part:1');
is(run(q{SELECT wtcache.fetch('part', 1)}), '{"v": "in a partition", "id": 1}',
	'a partitioned table');
is(stored('part:1'), '{"id":1,"v":"in a partition"}', 'filled');

forget(map { "item:$_" } 1 .. 5);
$redis->cli('config', 'resetstat');
is(run(q{SELECT count(image) FROM wtcache.fetch_many('item', ARRAY[1, 2, 3, 4, 5])}), 5,
	'many');
like($redis->cli('info', 'commandstats'), qr/cmdstat_evalsha:calls=10,/,
	'asked for once, filled once');

# Not for the cache, but there
is(run(q{SELECT wtcache.fetch('item', 50)}), image(50, 'first'),
	'a row that the condition leaves out is returned');
is($redis->cli('exists', 'item:50', 'wtcache:lease:item:50'), 0,
	'is not filled, and nobody waits for it');

# How to find what was filled, should all of it have to be deleted
foreach ([ q{SELECT wtcache.fetch('item', 6)}, 'item:6', 'item:*' ],
	[ q{SELECT wtcache.remember('kept', 'SELECT 1', '1 hour', '{a}')}, 'kept' ])
{
	my ($sql, $key, @patterns) = @$_;

	forget($key);
	$redis->cli('srem', 'wtcache:patterns', 'item:*', 'tag:*');
	run($sql);
	is($redis->cli('exists', $key), 1, "$key: filled");
	is($redis->cli('smismember', 'wtcache:patterns', $_), 1, "$key: $_ is told")
	  foreach @patterns, 'tag:*';
}
is($redis->cli('sismember', 'wtcache:values', 'kept'), 1, 'kept: is listed');
is($redis->cli('ttl', 'wtcache:values'), -1, 'for good');

# --- images of every shape

run(q{
	CREATE TABLE plain (id int PRIMARY KEY, price numeric(8, 2), big bigint, at timestamp, lsn int);
	INSERT INTO plain VALUES (1, 9.5, 9007199254740993, '2026-01-01', 7)});
foreach ([ 'names and expressions', q{columns => '{id, "unit=price", "twice=(price * 2)"}'} ],
	[ 'words of shape', q{shape => '{text_numbers, utc_timestamps}'} ],
	[ 'a hash with names', q{columns => '{"number=id", "unit=price"}', format => 'hash'} ],
	[ 'an envelope', q{version => 'lsn', envelope => 'versioned', columns => '{"l=lsn"}'} ],
	[ 'a column as version', q{version => '"lsn"', envelope => 'versioned'} ])
{
	my ($name, $how) = @$_;
	my $get = $how =~ /hash/ ? 'hgetall' : 'get';
	my ($held, $filled, $fetched, $mark);

	run("SELECT wtcache.attach('plain', $how, replace => true); UPDATE plain SET lsn = 8");
	$held = $redis->cli($get, 'plain:1');
	is(run(q{SELECT wtcache.fetch('plain', 1) = wtcache.get('plain:1')}), 't', "$name: of Redis");
	is(run(q{BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT wtcache.fetch('plain', 1); COMMIT}),
		run(q{SELECT wtcache.get('plain:1')}) =~ s/("version": )\d{4,}/$1null/r,
		"$name: of the table");
	forget('plain:1');
	$fetched = run(q{SELECT wtcache.fetch('plain', 1)});
	$filled = $redis->cli($get, 'plain:1');
	is($fetched, run(q{SELECT wtcache.get('plain:1')}), "$name: as it is filled");
	is(run(q{SELECT count(*) FROM wtcache.verify('plain')}), 0, "$name: nothing differs");
	if ($held !~ /^\{"version":(\d{4,}),/)
	{
		is($filled, $held, "$name: filled as it is pushed");
		next;
	}
	my $version = $1;
	$mark = $redis->cli('get', 'wtcache:mark:plain:1');
	is($filled, $held =~ s/$version/$mark/r, "$name: filled with the mark as version");
	cmp_ok($mark, '>', $version, "$name: which is not less");
	run('UPDATE plain SET lsn = 9');
	my ($next) = stored('plain:1') =~ /^\{"version":(\d+),/;
	cmp_ok($next, '>', $mark, "$name: nor is the next one");
}

# The key has values as the column writes them.
run(q{CREATE TABLE rated (rate numeric(4, 2) PRIMARY KEY, v int);
	SELECT wtcache.attach('rated');
	INSERT INTO rated VALUES (1.5, 1)});
counted('hits', 1, 'a value of the type of the column', sub {
	is(run(q{SELECT wtcache.fetch('rated', 1.5) ->> 'v'}), 1, 'as the column writes it');
});

# An image that cannot be made
run(q{SELECT wtcache.attach('plain', replace => true); ALTER TABLE plain ADD t text;
	ALTER SYSTEM SET wtcache.max_image_size = '1kB'; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT current_setting('wtcache.max_image_size') = '1kB'})
  or die 'no reload';
run(q{UPDATE plain SET t = repeat('x', 10000)});
{
	my ($out, $err) = ('', '');

	$node->psql('postgres', q{SELECT wtcache.fetch('plain', 1)}, stdout => \$out, stderr => \$err);
	like($err, qr/ERROR:  row of "plain" has no image\nDETAIL:  It is larger than wtcache.max_image_size./,
		'a row that is too large');
	is($redis->cli('exists', 'wtcache:lease:plain:1'), 0, 'nobody waits for it');
}
run(q{ALTER SYSTEM RESET wtcache.max_image_size; SELECT pg_reload_conf()});
$node->poll_query_until('postgres', q{SELECT current_setting('wtcache.max_image_size') <> '1kB'})
  or die 'no reload';

# --- one query for all

{
	my $holder = $node->session;
	my $script = $node->basedir . '/fetch.sql';

	append_to_file($script, "SET test.stop = 'on';\n"
		  . "SELECT wtcache.fetch('item', 10);\n");
	forget('item:10');
	run('SELECT wtcache.stat_reset()');
	$holder->query_safe('SELECT pg_advisory_lock(7)');
	counted('misses', 1, '100 misses of one key are one query', sub {
		my $pid = fork // die;

		if ($pid == 0)
		{
			open STDOUT, '>', '/dev/null';
			exec 'pgbench', '-n', '-c', 100, '-j', 2, '-t', 1, '-f', $script,
			  '-h', $node->host, '-p', $node->port, 'postgres';
			die;
		}
		$node->poll_query_until('postgres',
			'SELECT waits = 99 FROM wtcache.stat_read') or die 'not all wait';
		$holder->query_safe('SELECT pg_advisory_unlock(7)');
		waitpid $pid, 0;
		is($?, 0, 'all have read it');
	});
	is(run('SELECT filled FROM wtcache.stat_read'), 1, 'one has filled it');
	$holder->quit;
}

# --- a reader that does not come back

{
	my ($first, $second) = map { $node->session } 1, 2;
	my ($before, $pid);

	$node->reconfigure('wtcache.lease_ttl' => '3s');
	leases_for(3000);
	$second->query_safe('SELECT pg_advisory_lock(7)');
	$pid = $node->pid_of($first);
	$first->query_safe("SET test.stop = 'on'");
	forget('item:11');
	$node->begin_query($first, q{SELECT wtcache.fetch('item', 11)});
	$redis->poll_for('exists wtcache:lease:item:11', '1') or die 'no lease';
	run("SELECT pg_terminate_backend($pid)");
	$before = time;
	is(run(q{SELECT wtcache.fetch('item', 11)}), image(11, 'first'),
		'a reader that is killed is waited for');
	cmp_ok(time - $before, '>', 1, 'as long as its lease is good');
	is(stored('item:11') ne '', 1, 'then the next one fills');
	$node->reconfigure('wtcache.lease_ttl' => '50s');
	leases_for(50000);
	$second->quit;
}

# --- what happens between reading the row and filling it

# A session has the row, and has not filled it yet.
sub between
{
	my ($sql, $stop, $do) = @_;
	my ($reader, $holder) = map { $node->session } 1, 2;
	my $result;

	$holder->query_safe('SELECT pg_advisory_lock(7)');
	$reader->query_safe("SET test.stop = 'on'");
	$node->begin_query($reader, $sql);
	$node->poll_query_until('postgres', q{
		SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7
		   AND NOT granted}) or die 'does not stop';
	$do->();
	$holder->query_safe('SELECT pg_advisory_unlock(7)');
	$reader->query_safe('SELECT 1');
	$_->quit foreach $reader, $holder;
	return;
}

forget('item:12');
counted('refused_lease', 1, 'a change in between is found', sub {
	between(q{SELECT wtcache.fetch('item', 12)}, 7,
		sub { run(q{UPDATE item SET v = 'newer' WHERE id = 12}) });
});
is(stored('item:12'), '{"id":12,"v":"newer","cat":"a"}', 'what is newer stays');
forget('item:13');
counted('refused_tag', 1, 'so is an invalidation', sub {
	between(q{SELECT wtcache.fetch('item', 13)}, 7,
		sub { run(q{SELECT wtcache.invalidate_tags('cat:a')}) });
});
is(stored('item:13'), '', 'nothing is filled');
counted('refused_tag', 1, 'of a query, too', sub {
	between(q{SELECT wtcache.remember('all', 'SELECT count(*), min(CASE WHEN stop_here(id) THEN 1 END) FROM item WHERE id = 13', '1 minute', '{items}')},
		7, sub { run(q{SELECT wtcache.invalidate_tags('items')}) });
});
is(stored('all'), '', 'nothing is filled');

# --- snapshots that are kept, own changes

foreach my $level ('REPEATABLE READ', 'SERIALIZABLE')
{
	my $session = $node->session;

	$session->query_safe("BEGIN ISOLATION LEVEL $level; SELECT 1 FROM item");
	run(qq{UPDATE item SET v = '$level' WHERE id = 14});
	is($session->query_safe(q{SELECT wtcache.fetch('item', 14)->>'v'}),
		$level eq 'SERIALIZABLE' ? 'REPEATABLE READ' : 'first', "$level: what the snapshot shows");
	forget('item:14');
	$session->query_safe(q{SELECT wtcache.fetch('item', 14); SELECT wtcache.remember('old', 'SELECT v FROM item WHERE id = 14')});
	is($redis->cli('exists', 'item:14', 'wtcache:lease:item:14', 'old'), 0,
		"$level: nothing is filled");
	$session->query_safe('COMMIT');
	$session->quit;
}

{
	my $session = $node->session;

	$session->query_safe(q{BEGIN; UPDATE item SET v = 'own' WHERE id = 15});
	forget('item:15', 'item:16');
	is($session->query_safe(q{SELECT wtcache.fetch('item', 15)}), image(15, 'own'),
		'own changes are seen');
	is($session->query_safe(q{SELECT wtcache.remember('own', 'SELECT v FROM item WHERE id = 15')}),
		'[{"v": "own"}]', 'by queries as well');
	is($redis->cli('exists', 'item:15', 'wtcache:lease:item:15', 'own'), 0, 'but not filled');
	is($session->query_safe(q{SELECT wtcache.fetch('item', 16)}), image(16, 'first'),
		'another row');
	is($redis->cli('exists', 'item:16'), 1, 'is filled');
	$session->query_safe(q{DELETE FROM item WHERE id = 15});
	is($session->query_safe(q{SELECT wtcache.fetch('item', 15) IS NULL}), 't', 'deleted');
	$session->query_safe('ROLLBACK');
	is($session->query_safe(q{SELECT wtcache.fetch('item', 15)}), image(15, 'first'),
		'and not, after all');
	$session->query_safe(q{ALTER TABLE item DISABLE TRIGGER wtcache_capture});
	$session->query_safe(q{BEGIN; UPDATE item SET v = 'unseen' WHERE id = 17; ALTER TABLE item ENABLE TRIGGER wtcache_capture});
	forget('item:17');
	is($session->query_safe(q{SELECT wtcache.fetch('item', 17)}), image(17, 'unseen'),
		'own changes that no trigger has seen');
	is($redis->cli('exists', 'item:17'), 0, 'are not filled either');
	$session->query_safe(q{ROLLBACK; BEGIN; ALTER TABLE item DISABLE TRIGGER wtcache_capture;
		DELETE FROM item WHERE id = 17; ALTER TABLE item ENABLE TRIGGER wtcache_capture});
	forget('item:17');
	is($session->query_safe(q{SELECT wtcache.fetch('item', 17) IS NULL}), 't',
		'nor is an own deletion');
	is($redis->cli('exists', 'wtcache:lease:item:17'), 0, 'told as absence');
	$session->query_safe('ROLLBACK');
	forget('item:18');
	is($session->query_safe(q{SELECT wtcache.fetch('item', 18)}), image(18, 'first'),
		'with the trigger disabled');
	is($redis->cli('exists', 'item:18'), 0, 'nothing is filled');
	$session->query_safe(q{ALTER TABLE item ENABLE TRIGGER wtcache_capture});
	$session->quit;
}

# --- rights

$node->safe_psql('postgres', q{
	CREATE ROLE reader LOGIN;
	CREATE ROLE stranger LOGIN;
	GRANT EXECUTE ON FUNCTION wtcache.fetch, wtcache.remember TO reader, stranger;
	GRANT SELECT ON item TO reader;
	GRANT SELECT (id) ON item TO stranger;
	CREATE TABLE secret (id int PRIMARY KEY, whose name);
	SELECT wtcache.attach('secret');
	INSERT INTO secret VALUES (1, 'reader'), (2, 'another');
	GRANT SELECT ON secret TO reader;
	ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
	CREATE POLICY own ON secret USING (whose = current_user)});

sub as
{
	my ($role, $sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err,
		extra_params => [ '-U', $role ]);
	return $out . ($err =~ /ERROR:  (.*)/ ? $1 : '');
}

forget('item:19');
is(as('reader', q{SELECT wtcache.fetch('item', 19)}), image(19, 'first'),
	'a role that may read the table');
is($redis->cli('exists', 'item:19'), 1, 'fills');
is(as('stranger', q{SELECT wtcache.fetch('item', 19)}),
	'permission denied for table item', 'one that may not read all of it');
is(as('reader', q{SELECT wtcache.fetch_many('item', ARRAY[1])}),
	'permission denied for function fetch_many', 'one that may not execute it');
is(as('reader', q{SELECT wtcache.fetch('secret', 2) IS NULL}), 't',
	'row security holds for what is in Redis');
forget('secret:1', 'secret:2');
is(as('reader', q{SELECT wtcache.fetch('secret', 1)->>'whose'}), 'reader', 'what it lets through');
is(as('reader', q{SELECT wtcache.fetch('secret', 2) IS NULL}), 't', 'and what it does not');
is($redis->cli('exists', 'secret:1', 'wtcache:lease:secret:2'), 0, 'is not filled');
is(as('reader', q{SELECT wtcache.remember('q', 'SELECT 1) AS q; SELECT (2')}) =~ /syntax|single SELECT/ ? 1 : 0,
	1, 'a query is one statement');
is(as('stranger', q{SELECT wtcache.remember('q2', 'SELECT v FROM item')}),
	'permission denied for table item', 'and runs as the caller');

# --- errors

sub error_of
{
	my ($out, $err) = ('', '');

	$node->psql('postgres', $_[0], stdout => \$out, stderr => \$err);
	return $err =~ /ERROR:  (.*)/ ? $1 : $out;
}
is(error_of(q{SELECT wtcache.fetch('pair', 1)}),
	'key of "pair" has 2 columns, but 1 values were given', 'too few values');
is(error_of(q{SELECT wtcache.fetch_many('item', ARRAY[[1, 2]])}),
	'key of "item" has 1 columns, but 2 values were given', 'too many');
is(error_of(q{SELECT wtcache.fetch('item', 'x')}),
	'invalid input syntax for type integer: "x"', 'no integer');
is(error_of(q{SELECT wtcache.remember('wtcache:token', 'SELECT 1')}),
	'key "wtcache:token" is reserved', 'a key of wtcache');

# --- remember

is(run(q{SELECT wtcache.remember('sum', 'SELECT count(*) AS n FROM part', '1 minute', '{part}')}),
	'[{"n": 1}]', 'a query');
run(q{INSERT INTO part VALUES (2, 'more')});
is(run(q{SELECT wtcache.remember('sum', 'SELECT count(*) AS n FROM part', '1 minute', '{part}')}),
	'[{"n": 1}]', 'is remembered');
run(q{SELECT wtcache.invalidate_tags('part')});
is(run(q{SELECT wtcache.remember('sum', 'SELECT count(*) AS n FROM part', '1 minute', '{part}')}),
	'[{"n": 2}]', 'until its tag is invalidated');
is(run(q{SELECT wtcache.remember('none', 'SELECT 1 WHERE false')}), '[]', 'no rows');
is(run(q{SELECT wtcache.remember('q3', 'SELECT 1 AS q, 2 AS r')}), '[{"q": 1, "r": 2}]',
	'a column of any name');
foreach (q{wtcache.invalidate_tags('part')}, q{wtcache.set('sum', '0'::jsonb)})
{
	run(q{DELETE FROM part WHERE id = 3});
	run(q{SELECT wtcache.remember('sum', 'SELECT count(*) AS n FROM part', '1 minute', '{part}')});
	run(q{INSERT INTO part VALUES (3, 'unnoticed')});
	is(run(qq{BEGIN; SELECT $_; SELECT wtcache.remember('sum', 'SELECT count(*) AS n FROM part'); ROLLBACK}),
		qq{\n[{"n": 3}]}, 'what this transaction has changed in the cache is not asked');
}

# --- a copy of the database

# The keys are those of the other database.
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
run(q{UPDATE item SET v = 'not of the copy' WHERE id = 24});
is($node->safe_psql('copy', q{SELECT wtcache.fetch('item', 24)}), image(24, 'first'),
	'a copy of the database reads its own rows');
is($node->safe_psql('copy', q{SELECT wtcache.remember('sum', 'SELECT 1 AS a')}), '[{"a": 1}]',
	'and asks its own queries');

# --- a standby

{
	my $standby = Wtcache::Node->new('standby');

	$node->backup('for_standby');
	$standby->init_from_backup($node, 'for_standby', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	forget('item:20', 'q');
	$redis->cli('set', 'item:21', image(21, 'of Redis'));
	is($standby->safe_psql('postgres', q{SELECT wtcache.fetch('item', 21)}),
		image(21, 'of Redis'), 'a standby reads Redis');
	is($standby->safe_psql('postgres', q{SELECT wtcache.fetch('pair', 1, 'x')}),
		'{"a": "1", "b": "x", "v": "10"}', 'hashes, too');
	is($standby->safe_psql('postgres', q{SELECT wtcache.fetch('item', 20)}),
		image(20, 'first'), 'and its own table');
	is($standby->safe_psql('postgres', q{SELECT wtcache.remember('q', 'SELECT 1 AS a')}),
		'[{"a": 1}]', 'queries as well');
	is($redis->cli('exists', 'item:20', 'wtcache:lease:item:20', 'q', 'wtcache:lease:q'), 0,
		'and fills nothing');
	$standby->stop;
}

# --- what is filled is durable

# A transaction that has not waited for the disk is seen by others at once.
foreach my $how (q{SELECT wtcache.fetch('item', 22)},
	q{SELECT wtcache.remember('v', 'SELECT v FROM item WHERE id = 22')})
{
	my $key = $how =~ /item', 22/ ? 'item:22' : 'v';
	my $writer = $node->session;

	$node->pause_worker;
	# the page's image is in WAL then, and the WAL writer has no reason to flush
	run(q{UPDATE item SET v = 'before' WHERE id = 22});
	$writer->query_safe(q{SET wtcache.mode = async; SET synchronous_commit = off});
	forget('item:22', 'v');
	$writer->query_safe(qq{UPDATE item SET v = '$key' WHERE id = 22});
	run($how);
	like(stored($key), qr/$key/, "$key: filled");
	$node->crash;
	$writer->{run}->kill_kill;
	$node->start;
	is(run('SELECT v FROM item WHERE id = 22'), $key, "$key: is not lost in a crash");
}

# --- what was frozen long ago

# Of the transaction that wrote it nothing is known any more.
run('VACUUM (FREEZE) item');
$node->stop;
run_command([ 'pg_resetwal', '-x', 3 << 20, '-D', $node->data_dir ]);
append_to_file($node->data_dir . '/pg_xact/0003', "\0" x 262144);
$node->start;
$node->safe_psql('postgres', 'ALTER DATABASE template0 ALLOW_CONNECTIONS true');
$node->safe_psql($_, 'VACUUM (FREEZE)') foreach qw(template0 template1 copy postgres);
ok(!-e $node->data_dir . '/pg_xact/0000', 'old transactions are forgotten');
leases_for(50000);
forget('item:40');
is(run(q{SELECT wtcache.fetch('item', 40)}), image(40, 'first'), 'a frozen row is read');
is($redis->cli('exists', 'item:40'), 1, 'and fills');

# --- Redis away

$redis->kill9;
$node->reconfigure('wtcache.connect_timeout' => '500ms');
counted('unanswered', 2, 'Redis does not answer', sub {
	is(run(q{SELECT wtcache.fetch('item', 23)}), image(23, 'first'), 'from the table');
	is(run(q{SELECT wtcache.remember('q', 'SELECT 1 AS a')}), '[{"a": 1}]', 'from the query');
});
is(run('SELECT filled IS NULL FROM wtcache.stat_read'), 't', 'what it counts is not known');

done_testing();
