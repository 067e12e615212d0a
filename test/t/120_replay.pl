# The WAL is the outbox: Redis away, and every way in which a commit can lose
# its push.  Nobody calls anything; in the end everything is in Redis.

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
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'max_wal_senders' => 1,
		'wtcache.push_timeout' => '300ms',
		'wtcache.connect_timeout' => '300ms',
		'wtcache.breaker_cooldown' => '1s',
		'wtcache.heal_window' => '1h',
		'restart_after_crash' => 'on',
		'synchronous_commit' => 'on',
		'max_prepared_transactions' => 10,
		'autovacuum' => 'off'
	});

# All that is in Redis was written after this.
my $first = $node->safe_psql('postgres',
	q{SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn});

# What wtcache.set() and so on have left is in "want": the same transaction
# writes it there.
$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, seq int, cat text, v text);
	CREATE TABLE things (id int PRIMARY KEY, seq int, v text);
	CREATE TABLE want (key text PRIMARY KEY, value jsonb, tag text);
	CREATE TABLE plain (v text);
	SELECT wtcache.attach('items', tags => ARRAY['cat:{cat}']),
		wtcache.attach('things', format => 'hash');
	INSERT INTO items SELECT i, 0, 'c' || i % 5, 'first' FROM generate_series(1, 100) i;
	INSERT INTO things SELECT i, 0, 'first' FROM generate_series(1, 10) i});

# --- load --------------------------------------------------------------------

my $script = $node->basedir . '/load.sql';
append_to_file($script, q{
\set id random(2, 150)
\set cat random(0, 4)
\set k random(1, 10)
\set r random(1, 12)
UPDATE items SET seq = seq + 1 WHERE id = 1;
\if :r <= 3
UPDATE items SET seq = seq + 1, v = 'load' WHERE id = :id;
\elif :r = 4
DELETE FROM items WHERE id = :id;
\elif :r = 5
INSERT INTO items VALUES (:id, 0, 'c' || :cat, 'back')
	ON CONFLICT (id) DO UPDATE SET cat = excluded.cat, seq = items.seq + 1;
\elif :r = 6
UPDATE items SET cat = 'c' || :cat, seq = seq + 1 WHERE id = :id;
\elif :r = 7
UPDATE things SET seq = seq + 1, v = 'load' WHERE id = :k;
\elif :r <= 9
BEGIN;
INSERT INTO want VALUES ('want:' || :client_id || ':' || :k, to_jsonb(:id), 'w' || :client_id)
	ON CONFLICT (key) DO UPDATE SET value = excluded.value;
SELECT wtcache.set('want:' || :client_id || ':' || :k, to_jsonb(:id),
	tags => ARRAY['w' || :client_id]);
COMMIT;
\elif :r = 10
BEGIN;
DELETE FROM want WHERE key = 'want:' || :client_id || ':' || :k;
SELECT wtcache.delete('want:' || :client_id || ':' || :k);
COMMIT;
\elif :r = 11
BEGIN;
DELETE FROM want WHERE tag = 'w' || :client_id;
SELECT wtcache.invalidate_tags('w' || :client_id);
COMMIT;
\else
BEGIN;
UPDATE items SET seq = seq + 1000000, v = 'poison' WHERE id = :id;
SAVEPOINT s;
SELECT wtcache.set('want:' || :client_id || ':' || :k, '"poison"');
ROLLBACK;
\endif
});

sub load
{
	my ($transactions) = @_;

	$node->command_ok(
		[ 'pgbench', '-n', '-c', '4', '-j', '2', '-t', $transactions, '-f', $script,
			$node->connstr('postgres') ],
		"load goes on");
	return;
}

# --- what Redis has to look like ---------------------------------------------

sub want_differences
{
	my $held = Wtcache::Compare::contents($redis, 'want:*');
	my %want = map { split /\t/ } split /\n/,
	  $node->safe_psql('postgres', q{SELECT key || E'\t' || value FROM want});
	my @differences = map { "$_: " . ($held->{$_} // 'nothing') . ", not $want{$_}" }
	  grep { ($held->{$_} // '') ne $want{$_} } sort keys %want;

	push @differences, map { "$_: unexpected" } grep { !$want{$_} } sort keys %$held;
	return @differences;
}

sub hash_differences
{
	my @differences;

	foreach my $row (split /\n/,
		$node->safe_psql('postgres',
			'SELECT id, seq, v FROM things ORDER BY id'))
	{
		my ($id, $seq, $v) = split /\|/, $row;
		my %held = split /\n/, $redis->cli('hgetall', "things:$id");

		push @differences, "things:$id: not $seq, $v"
		  if join(',', map { "$_=$held{$_}" } sort keys %held) ne
		  "id=$id,seq=$seq,v=$v";
	}
	return @differences;
}

sub all_differences
{
	return (
		Wtcache::Compare::differences($node, $redis, 'items', 'id'),
		hash_differences(),
		want_differences(),
		Wtcache::Compare::tag_differences($node, $redis, q{
			SELECT 'cat:' || cat, 'items:' || id FROM items UNION ALL
			SELECT tag, key FROM want}, qr/^want:/));
}

# Redis is as the tables, after a while at most.
sub settled
{
	my ($name) = @_;

	is(join("\n", Wtcache::Compare::settle(\&all_differences)),
		'', "$name: Redis is as the tables");
	return;
}

# The values of a key that a reader sees until it is as the row.
sub watch
{
	my ($key, $last) = @_;
	my $deadline = time + $timeout;
	my $resp;
	my @seen = (-1);

	while (time < $deadline)
	{
		my $value = eval {
			$resp ||= Wtcache::Resp->new($redis->socket);
			$resp->command('GET', $key);
		};

		if ($@ || Wtcache::Resp::is_error($value)) { undef $resp; next; }
		my ($seq) = ($value // '') =~ /"seq":(\d+)/;
		next if !defined $seq;
		push @seen, $seq if $seq != $seen[-1];
		last if $seq == $last;
	}
	shift @seen;
	return @seen;
}

settled('at first');

# --- Redis away --------------------------------------------------------------

sub outage
{
	my ($name, $down, $up, $late) = @_;
	my $before = $node->safe_psql('postgres', 'SELECT seq FROM items WHERE id = 1');

	$down->();
	my $start = time;
	load(50);
	cmp_ok(time - $start, '<', 30, "$name: commits go on");
	isnt($node->status('breaker'), 'closed', "$name: the breaker is open");
	is($node->status("worker_state"), 'waiting for Redis', "$name: worker_state");
	cmp_ok($node->status('lag_bytes'), '>', 0, "$name: lag_bytes");
	my $last = $node->safe_psql('postgres', 'SELECT seq FROM items WHERE id = 1');
	cmp_ok($last, '>=', $before + 200, "$name: many versions of a row");

	$up->();
	my @seen = watch('items:1', $last);
	is($seen[-1], $last, "$name: the last version is there");
	is(join(' ', @seen), join(' ', sort { $a <=> $b } @seen),
		"$name: none was older than one before");
	cmp_ok(scalar(grep { $_ != $before && $_ != $last } @seen),
		'<=', $late, "$name: the versions in between have not been")
	  or diag("@seen");
	settled($name);
	ok($node->poll_query_until('postgres', q{
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL AND uncommitted_batches = 0
		FROM wtcache.status}), "$name: the worker is idle");
	return;
}

outage('restarted with its data',
	sub { $redis->cli('save'); $redis->kill9; },
	sub { $redis->start; unlink $redis->dir . '/dump.rdb'; },
	0);
# What was sent before the breaker opened may be read when it wakes up.
outage('stopped for a while',
	sub { $redis->pause; }, sub { $redis->resume; }, 8);
cmp_ok($node->stat('replayed'), '>', 50, 'operations were replayed');
is($node->stat('cold_starts'), '0', 'never cold');

# --- what else may happen meanwhile ------------------------------------------

sub poison_less
{
	my ($name) = @_;

	is( scalar(grep { /poison/ }
			values %{ Wtcache::Compare::contents($redis, 'items:*') }),
		0, "$name: nothing that was rolled back");
	return;
}

# During an outage something happens to the server.
sub meanwhile
{
	my ($name, $do) = @_;

	$redis->pause;
	load(10);
	$do->();
	$node->poll_query_until('postgres', 'SELECT true')
	  or die 'the server does not come up';
	load(10);
	$redis->resume;
	settled($name);
	poison_less($name);
	return;
}

meanwhile('kill -9 of the worker', sub {
	my $pid = $node->worker_pid;
	my $offset = $node->log_length;

	kill 'KILL', $pid;
	ok($node->logged(qr/database system is ready/, $offset),
		'kill -9 of the worker: the server restarts');
	isnt($node->worker_pid, $pid, 'kill -9 of the worker: another one');
});

# It is not connected to a database, so pg_terminate_backend() knows it not.
meanwhile('SIGTERM for the worker', sub {
	my $pid = $node->worker_pid;

	kill 'TERM', $pid;
	ok($node->poll_query_until('postgres',
			"SELECT worker_pid > 0 AND worker_pid <> $pid FROM wtcache.status"),
		'SIGTERM for the worker: another one is started');
});

meanwhile('kill -9 of the postmaster', sub { $node->crash; $node->start; });
meanwhile('immediate stop', sub { $node->stop('immediate'); $node->start; });
meanwhile('fast stop', sub {
	my $start = time;

	$node->stop('fast');
	cmp_ok(time - $start, '<', 20, 'a fast stop does not wait for Redis');
	$node->start;
});

# The same without an outage; the worker idles.
{
	my $pid = $node->worker_pid;

	kill 'TERM', $pid;
	ok($node->poll_query_until('postgres',
			"SELECT worker_pid > 0 AND worker_pid <> $pid"
			  . " AND worker_state LIKE 'idle%' FROM wtcache.status"),
		'an idle worker is started again, too');
	load(10);
	settled('after that');
}

# Redis is away when the server starts, and the outage spans a restart.
$redis->cli('save');
$redis->kill9;
load(10);
$node->crash;
$node->start;
load(10);
$redis->start;
unlink $redis->dir . '/dump.rdb';
settled('both restarted');

# A backend killed between its commit and its push: nothing but the WAL knows.
foreach my $signal ('KILL', 'TERM')
{
	my $s = $node->session;
	my $pid = $node->pid_of($s);
	my $offset = $node->log_length;

	$s->query_safe('SET wtcache.debug_hold_push = on');
	$node->begin_query($s,
		"UPDATE items SET seq = seq + 1, v = 'held $signal' WHERE id = 1");
	ok($node->poll_query_until('postgres',
			"SELECT in_flight = 1 AND EXISTS (SELECT FROM items WHERE v = 'held $signal')"
			  . " FROM wtcache.status"),
		"$signal: a push is held");
	unlike($redis->cli('get', 'items:1'), qr/held $signal/, '... not in Redis');
	if ($signal eq 'KILL')
	{
		kill 'KILL', $pid;
		ok($node->logged(qr/database system is ready/, $offset),
			'... the server restarts');
	}
	else
	{
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		$node->release_pushes;
	}
	eval { $s->quit };
	settled("$signal between commit and push");
}

# --- crashes that take back --------------------------------------------------

# What is not flushed is lost by the crash, and its positions are used again.
{
	my $s = $node->session;

	$node->reconfigure('fsync' => 'on', 'wal_writer_delay' => '10s');
	$redis->pause;
	$s->query_safe('SET synchronous_commit = off');
	foreach my $n (1 .. 20)
	{
		$s->query_safe("INSERT INTO plain SELECT repeat('x', 100) FROM generate_series(1, 10)");
		$s->query_safe("UPDATE items SET seq = seq + 1, v = 'power' WHERE id = $n % 7 + 1");
	}
	$s->query_safe("INSERT INTO plain VALUES ('lost')");
	$node->stop('immediate');
	eval { $s->quit };
	$node->start;
	load(10);
	$redis->resume;
	settled('power loss');
	like($redis->cli('get', 'items:7'), qr/"power"|"load"|"back"/,
		'power loss: what was committed is there')
	  if $node->safe_psql('postgres', 'SELECT count(*) FROM items WHERE id = 7');
	$node->reconfigure('fsync' => 'off', 'wal_writer_delay' => '200ms');
}

# --- messages that do not count ----------------------------------------------

# What the WAL holds of our messages from some position on, as hex.
sub payloads
{
	my ($from) = @_;
	my ($out, $err);
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');

	IPC::Run::run(
		[ 'pg_waldump', '-r', 'LogicalMessage', '-s', $from, '-e', $end,
			'-p', $node->data_dir . '/pg_wal' ],
		'>', \$out, '2>', \$err);
	my @found;

	while ($out =~ /prefix "([^"]+)".*payload \(\d+ bytes\): ([0-9A-F ]+)/g)
	{
		push @found, [ $1, join '', split / /, $2 ];
	}
	return @found;
}

sub position
{
	return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

# Let the worker read everything again: Redis has lost all keys, and tells of the
# position at which there were none.
sub lose_everything
{
	my $offset = $node->log_length;

	$redis->lose_since($first);
	ok($node->logged(qr/replay begins at/, $offset), 'everything is read again');
	return;
}

# A transaction that fails behind its message: write skew.
{
	my @s = ($node->session, $node->session);

	$node->safe_psql('postgres',
		"INSERT INTO items VALUES (201, 1, 'skew', 'a'), (202, 1, 'skew', 'b')");
	my $from = position();
	$_->query_safe("BEGIN ISOLATION LEVEL SERIALIZABLE") foreach @s;
	$_->query_safe("SELECT count(*) FROM items WHERE cat = 'skew'") foreach @s;
	$s[0]->query_safe("UPDATE items SET seq = 2, v = 'winner' WHERE id = 201");
	$s[1]->query_safe("UPDATE items SET seq = 2, v = 'poison' WHERE id = 202");
	$s[0]->query_safe('COMMIT');
	$s[1]->{stderr} = '';
	$s[1]->query('COMMIT');
	like($s[1]->{stderr}, qr/could not serialize/, 'the second COMMIT fails');
	$s[1]->{stderr} = '';
	$_->quit foreach @s;
	$node->safe_psql('postgres', 'CHECKPOINT');
	ok(scalar(grep { $_->[1] =~ /706F69736F6E/i } payloads($from)),
		'... behind its message');
	lose_everything();
	settled('serialization failure');
	poison_less('serialization failure');
}

# --- committed, but not yet visible -------------------------------------

# A commit that waits for a standby that there is not: flushed, but in progress.
sub frozen
{
	my ($v) = @_;
	my $s = $node->session;
	my $pid = $node->pid_of($s);

	$s->query_safe("UPDATE items SET seq = seq + 1, v = 'before $v' WHERE id = 3");
	$node->reconfigure('synchronous_standby_names' => 'nobody');
	$node->settle($s, 'synchronous_standby_names' => 'nobody');
	$node->begin_query($s, "UPDATE items SET seq = seq + 1, v = '$v' WHERE id = 3");
	ok($node->poll_query_until('postgres',
			"SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid"),
		"$v: the commit waits");
	# A later one is through: it is not enough to ask for the last xid.
	$node->safe_psql('postgres',
		q{SET synchronous_commit = local; INSERT INTO plain VALUES ('later')});
	return ($s, $pid);
}

$node->safe_psql('postgres',
	"INSERT INTO items VALUES (3, 1, 'c3', 'x') ON CONFLICT DO NOTHING");
foreach my $how ('let go', 'cancelled', 'terminated')
{
	my ($s, $pid) = frozen($how);

	lose_everything();
	ok($node->poll_query_until('postgres', "SELECT uncommitted_batches = 1 FROM wtcache.status"),
		"$how: the batch is parked");
	ok($redis->poll_for('get items:3', qr/"before $how"/),
		"$how: Redis has the row as it is visible");
	# The worker looks at it again and again; now there are others that run ...
	$node->safe_psql('postgres', "SELECT wtcache.wait('2s')");
	# ... and now there are not, but for the one that waits.
	ok(!$redis->poll_for('get items:3', qr/"v":"$how"/, 3),
		"$how: ... not before it is visible");
	like($redis->cli('get', 'items:3'), qr/"before $how"/,
		"$how: Redis still has what it had");
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 3'),
		"before $how", "$how: the row is not visible");

	if ($how eq 'let go')
	{
		$node->reconfigure('synchronous_standby_names' => '');
		$s->query_safe('SELECT 1');
	}
	elsif ($how eq 'cancelled')
	{
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	}
	else
	{
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	}
	ok($redis->poll_for('get items:3', qr/"v":"$how"/), "$how: then it is in Redis");
	$node->reconfigure('synchronous_standby_names' => '') if $how ne 'let go';
	eval { $s->quit };
	ok($node->poll_query_until('postgres',
			'SELECT uncommitted_batches = 0 AND in_flight = 0 FROM wtcache.status'),
		"$how: nothing is parked any more");
	settled($how);
}

# --- barriers, configuration -------------------------------------------------

# A database that is dropped while the worker has to replay for it
{
	$node->safe_psql('postgres', q{CREATE DATABASE other});
	$node->safe_psql('postgres', q{ALTER DATABASE other SET wtcache.key_prefix = 'other:'});
	$node->safe_psql('other', q{
		CREATE EXTENSION wtcache;
		CREATE TABLE others (id int PRIMARY KEY, v text);
		SELECT wtcache.attach('others')});
	$redis->pause;
	$node->safe_psql('other', "INSERT INTO others SELECT i, 'x' FROM generate_series(1, 50) i");
	load(5);
	my $start = time;
	$node->safe_psql('postgres', 'DROP DATABASE other');
	cmp_ok(time - $start, '<', 20, 'DROP DATABASE does not wait for the worker');
	load(5);
	$redis->resume;
	settled('DROP DATABASE');
}

# Another Redis, by a reload
{
	my $first = $redis;

	$redis = Wtcache::Redis->new;
	$node->reconfigure('wtcache.url' => $redis->url);
	ok($redis->poll_for('exists wtcache:position', 1), 'another Redis is met');
	ok($node->poll_query_until('postgres',
			"SELECT worker_state LIKE 'idle%' AND replay_from IS NULL FROM wtcache.status"),
		'... and has nothing to get');
	is($redis->cli('--scan', '--pattern', 'items:*'), '', '... of what it never had');
	load(10);
	$node->safe_psql('postgres', q{
		UPDATE items SET seq = seq + 1;
		UPDATE things SET seq = seq + 1;
		SELECT wtcache.set(key, value, tags => ARRAY[tag]) FROM want});
	settled('the other Redis');

	# And back: it has old data and a position of its own.
	$redis = $first;
	$node->reconfigure('wtcache.url' => $redis->url);
	settled('back at the first');
}

# While the worker sleeps: no CPU to speak of
{
	my $pid = $node->worker_pid;

	ok($node->poll_query_until('postgres',
			"SELECT worker_state LIKE 'idle%' FROM wtcache.status"),
		'idle in the end');
	is($node->stat('cold_starts'), '0', 'and never was cold');
}

my $log = $node->log_tail;
unlike($log, qr/\[\d+\] (?:ERROR|FATAL):[^\n]*(?:wtcache|WAL|wal)/, 'no errors of the worker');

$node->stop;
$log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|terminated by signal (?!9\b)/, 'no crash of our making');

done_testing;
