# wtcache among PostgreSQL's other features: standbys, prepared transactions,
# synchronous replication, logical decoding, WAL.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'primary',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => {
		'wal_level' => 'logical',
		'max_prepared_transactions' => 5,
		'autovacuum' => 'off',
		'wtcache.push_timeout' => '30s'
	});
my ($code, $out, $err);

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	CREATE TABLE plain (id int PRIMARY KEY);
	SELECT wtcache.attach('items')});

# --- prepared transactions ---------------------------------------------------

# More of them in 130_prepared.pl
$node->safe_psql('postgres',
	"BEGIN; INSERT INTO items VALUES (1, 'prepared'); PREPARE TRANSACTION 'a'");
is($redis->cli('exists', 'items:1'), '0', 'prepared: nothing pushed');
$node->safe_psql('postgres',
	"BEGIN; INSERT INTO plain VALUES (1); PREPARE TRANSACTION 'b'");
is($redis->cli('--scan', '--pattern', 'items:*'),
	'', 'nothing of one without cache operations, either');
$node->safe_psql('postgres', "COMMIT PREPARED 'b'");
is($node->safe_psql('postgres', 'TABLE plain'), '1', '... and committed');
$node->safe_psql('postgres', "COMMIT PREPARED 'a'");
is($redis->cli('get', 'items:1'), '{"id":1,"v":"prepared"}',
	'committed: it is in Redis');

# The session that has prepared goes on.
my $s = $node->session;
$s->query_safe("BEGIN; INSERT INTO plain VALUES (2); PREPARE TRANSACTION 'd'");
$s->query_safe("UPDATE items SET v = 'one' WHERE id = 1");
is($redis->cli('get', 'items:1'), '{"id":1,"v":"one"}',
	'the next transaction is pushed');
$s->query_safe("ROLLBACK PREPARED 'd'");

# --- WAL ---------------------------------------------------------------------

# The messages between two positions, as pg_waldump shows them
sub messages
{
	my ($from, $to) = @_;
	my ($stdout, $stderr) = run_command(
		[
			'pg_waldump', '--rmgr', 'LogicalMessage', '-p',
			$node->data_dir . '/pg_wal', '-s', $from, '-e', $to
		]);

	return grep { /prefix "wtcache"/ } split /\n/, $stdout;
}

sub lsn { return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()'); }

foreach my $case (
	[ 'one row', 1, "UPDATE items SET v = 'two' WHERE id = 1" ],
	[
		'several statements', 1,
		"BEGIN; INSERT INTO items VALUES (2, 'a'), (3, 'b'); SAVEPOINT s;"
		  . " UPDATE items SET v = 'c'; ROLLBACK TO s; DELETE FROM items WHERE id = 3;"
		  . " SELECT wtcache.set('other', '1'); COMMIT"
	],
	[ 'rolled back', 0, "BEGIN; UPDATE items SET v = 'no'; ROLLBACK" ],
	[
		'rolled back to the beginning', 0,
		"BEGIN; SAVEPOINT s; UPDATE items SET v = 'no'; ROLLBACK TO s; COMMIT"
	],
	[ 'only a delete', 1, "SELECT wtcache.delete('other')" ],
	[ 'read only', 0, 'SELECT count(*) FROM items' ],
	[ 'another table', 0, 'INSERT INTO plain VALUES (3)' ],
	[
		'three transactions', 3,
		"DO \$\$ BEGIN FOR i IN 1..3 LOOP UPDATE items SET v = i WHERE id = 1;"
		  . " COMMIT; END LOOP; END \$\$"
	])
{
	my ($name, $n, $sql) = @$case;
	my $from = lsn();

	$node->safe_psql('postgres', $sql);
	# so that the last message is not the last record
	$node->safe_psql('postgres', 'SELECT txid_current()');
	my @found = messages($from, lsn());

	if ($name eq 'one row')
	{
		my ($len) = $found[0] =~ m{len \(rec/tot\):\s*(\d+)/};

		# 100 bytes, and the code
		cmp_ok($len - length('items:1{"id":1,"v":"two"}'), '<=', 122,
			"WAL, $name: what a message takes beside key and image");
	}
	is(scalar @found, $n, "WAL, $name: $n messages");
	is(scalar(grep { !/MESSAGE transactional/ } @found),
		0, "WAL, $name: transactional");
}
is($redis->cli('get', 'items:1'), '{"id":1,"v":"3"}', 'pushed');

# --- logical decoding --------------------------------------------------------

SKIP:
{
	($code, $out, $err) = $node->psql('postgres',
		"SELECT pg_create_logical_replication_slot('s', 'test_decoding')");
	skip 'test_decoding is not installed', 5 if $code != 0;

	$node->safe_psql('postgres',
		"BEGIN; UPDATE items SET v = 'decoded' WHERE id = 1;"
		  . " INSERT INTO plain VALUES (4); COMMIT;"
		  . " BEGIN; UPDATE items SET v = 'never'; ROLLBACK");
	my @changes = split /\n/, $node->safe_psql('postgres',
		"SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)");
	my @wtcache = grep { /^message: transactional: 1 prefix: wtcache, sz: \d+ content:/ }
	  @changes;

	is(scalar @wtcache, 1, 'logical decoding: one message');
	like($wtcache[0] // '', qr/items:1.*decoded/s, '... with the operation');
	like($changes[0], qr/^BEGIN/, '... in the transaction');
	like($changes[1], qr/^table public\.items: UPDATE/, '... the change');
	like($changes[-1], qr/^COMMIT/, '... and its end');
	$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('s')");
}

# --- synchronous replication -------------------------------------------------

# A commit that waits for a standby which never comes is not visible, and not
# pushed; when the wait is cancelled it is both.
sub frozen
{
	my ($name, $end, $ended) = @_;
	my $pid = $node->pid_of($s);
	my $ok = $node->stat('pushes_ok');

	$node->begin_query($s, "UPDATE items SET v = 'frozen $name' WHERE id = 1");
	ok($node->poll_query_until('postgres',
			"SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid"),
		"sync rep, $name: the commit waits");
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 1'),
		'before', "sync rep, $name: not visible");
	is($redis->cli('get', 'items:1'),
		'{"id":1,"v":"before"}', "sync rep, $name: not pushed");
	$node->safe_psql('postgres', "SELECT $end($pid)");
	ok($node->poll_query_until('postgres', $ended->($pid)),
		"sync rep, $name: ended");
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 1'),
		"frozen $name", "sync rep, $name: committed");
	return $ok;
}

$node->safe_psql('postgres', "UPDATE items SET v = 'before' WHERE id = 1");
$node->reconfigure('synchronous_standby_names' => 'nobody');
my $ok = frozen(
	'cancelled',
	'pg_cancel_backend',
	sub {
		"SELECT state = 'idle' FROM pg_stat_activity WHERE pid = $_[0]";
	});
is($redis->cli('get', 'items:1'),
	'{"id":1,"v":"frozen cancelled"}', 'sync rep, cancelled: pushed');
is($node->stat('pushes_ok') - $ok, 1, 'sync rep, cancelled: counted');
like(slurp_file($node->logfile),
	qr/WARNING:  canceling wait for synchronous replication due to user request/,
	'sync rep, cancelled: the warning');
$s->query_safe("SET synchronous_commit = local");
$s->query_safe("UPDATE items SET v = 'before' WHERE id = 1");
is($redis->cli('get', 'items:1'),
	'{"id":1,"v":"before"}', 'sync rep: local commits do not wait');
$s->query_safe("RESET synchronous_commit");

# Terminated: SyncRepWaitForLSN has forbidden to write to the client, and the
# session ends.  What is committed is either pushed or left to the replay.
my $failed = $node->stat('pushes_failed');
$ok = frozen(
	'terminated',
	'pg_terminate_backend',
	sub {
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $_[0]";
	});
is($node->stat('pushes_ok + pushes_failed') - $ok - $failed,
	1, 'sync rep, terminated: tried');
ok($redis->poll_for('get items:1', '{"id":1,"v":"frozen terminated"}'),
	'sync rep, terminated: pushed or replayed');
eval { $s->quit };
$node->reconfigure('synchronous_standby_names' => '');
$node->safe_psql('postgres', "UPDATE items SET v = 'after' WHERE id = 1");
is($redis->cli('get', 'items:1'), '{"id":1,"v":"after"}', 'sync rep: over');

# An asynchronous commit is flushed before others may see it.
$node->safe_psql('postgres',
	"SET synchronous_commit = off; UPDATE items SET v = 'async' WHERE id = 1");
my $insert = lsn();
$node->stop('immediate');
$node->start;
is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 1'),
	'async', 'an asynchronous commit survives a crash');
is($redis->cli('get', 'items:1'), '{"id":1,"v":"async"}', '... as what is cached');

# --- hot standby -------------------------------------------------------------

$node->backup('b');
my $standby = Wtcache::Node->new('standby');
$standby->init_from_backup($node, 'b', has_streaming => 1);
# Its own Redis: what it writes is to be seen.
my $other = Wtcache::Redis->new;
$standby->set('wtcache.url' => $other->url);
$standby->start;
$node->safe_psql('postgres', "INSERT INTO items VALUES (10, 'streamed')");
$node->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT v FROM items WHERE id = 10'),
	'streamed', 'standby: reads');
is( $standby->safe_psql('postgres', 'SELECT relation, key FROM wtcache.attachments'),
	'items|items:{id}',
	'standby: attachments');
is($standby->status("breaker || in_flight || coalesce(replay_from::text, '-')"),
	'closed0-', 'standby: status');
is($standby->stat('pushes_ok + pushes_failed + pushes_skipped'),
	'0', 'standby: counters');
foreach my $sql ("wtcache.set('k', '1')", "wtcache.delete('k')",
	"wtcache.invalidate_tags('t')")
{
	($code, $out, $err) = $standby->psql('postgres', "SELECT $sql");
	like($err, qr/cannot execute wtcache\.\w+\(\) in a read-only transaction/,
		"standby: no $sql");
}
is($other->cli('dbsize'), '0', 'standby: pushes nothing');
is($standby->safe_psql('postgres', "SELECT wtcache.get('items:10') IS NULL"),
	't', 'standby: wtcache.get() reads its Redis');

# Promotion: from now on it pushes.  What the old primary has written and the
# standby does not know of goes.
$standby->set('wtcache.url' => $redis->url);
$standby->reload;
$standby->wait_for_setting(sub { $standby->safe_psql('postgres', $_[0]) },
	'wtcache.url', $redis->url);
ok($redis->poll_for('hget wtcache:position journal', qr/^\d+$/),
	'the old primary keeps a journal for the standby');
# A standby that has just been made has no WAL from before; if Redis has not
# come further either, the cache would rightly be emptied.
$redis->wait_for_beat($node);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
$node->safe_psql('postgres', q{
	INSERT INTO items VALUES (11, 'old primary'), (12, 'old primary')});
is($redis->cli('get', 'items:12'), '{"id":12,"v":"old primary"}',
	'the old primary pushes');
$node->pause_worker;
$standby->promote;
$standby->safe_psql('postgres', q{
	UPDATE items SET v = 'promoted' WHERE id = 10;
	INSERT INTO items VALUES (11, 'new primary') ON CONFLICT (id)
		DO UPDATE SET v = excluded.v});
ok($redis->poll_for('get items:10', '{"id":10,"v":"promoted"}'),
	'promoted: in Redis');
ok($redis->poll_for('get items:11', '{"id":11,"v":"new primary"}'),
	'promoted: over what the old primary has written');
ok( $redis->poll_for(
		'get items:12',
		$standby->safe_psql('postgres',
			'SELECT row_to_json(i) FROM items i WHERE id = 12')),
	'promoted: and only what it has itself');
is($standby->stat('cold_starts'), 0, 'promoted: not cold');

# The old one is still there, and its worker has not noticed.
my $not_pushed = 'pushes_failed + pushes_skipped';
my $good = $node->stat('pushes_ok');
my $bad = $node->stat($not_pushed);
my $begun = time;
$node->safe_psql('postgres', q{
	SET wtcache.push_timeout = '2s';
	UPDATE items SET v = 'demoted' WHERE id IN (10, 11);
	INSERT INTO items VALUES (13, 'demoted')});
cmp_ok(time - $begun, '<', 20, 'demoted: its commits wait no longer than they may');
is($redis->cli('get', 'items:10'), '{"id":10,"v":"promoted"}',
	'demoted: the older timeline is refused');
is($redis->cli('get', 'items:11'), '{"id":11,"v":"new primary"}',
	'demoted: ... for every row');
is($redis->cli('exists', 'items:13'), 0, 'demoted: ... and for a new one');
is($node->stat($not_pushed) - $bad, 2, 'demoted: counted');
is($node->stat('pushes_ok') - $good, 0, 'demoted: ... and not as good pushes');

$node->resume_worker;
$node->stop('immediate');
foreach my $n ($node, $standby)
{
	$n->stop;
	unlike(slurp_file($n->logfile), qr/PANIC|TRAP|terminated by signal/,
		$n->name . ': no crash');
}

done_testing;
