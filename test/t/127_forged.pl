# Whose messages count: only those that wtcache wrote, in the transaction whose
# record holds them.  The file with the key, and what follows when it is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep);
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my %conf = (
	'wal_level' => 'logical',
	'max_prepared_transactions' => 5,
	'autovacuum' => 'off',
	'log_autovacuum_min_duration' => -1,
	'wtcache.heal_window' => '1h',
	'wtcache.journal' => 'on',
	# one TTL, by whose first byte the end of a key is found
	'wtcache.ttl_jitter' => 0);
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => \%conf);
my $key_file = $node->data_dir . '/wtcache.key';

# The forger may decode, and read no table.
$node->safe_psql('postgres', q{
	CREATE ROLE evil LOGIN REPLICATION;
	CREATE TABLE items (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('items')});

sub as_evil
{
	my ($sql) = @_;

	return $node->safe_psql('postgres', $sql, extra_params => [ '-U', 'evil' ]);
}

sub emit
{
	my ($transactional, $content, $prefix) = @_;

	$prefix //= 'wtcache';
	as_evil("SELECT pg_logical_emit_message($transactional, '$prefix', \$m\$$content\$m\$)");
	return;
}

# The messages that the forger's slot has not shown yet, as text
sub decoded
{
	return map { /^message: transactional: (\d) prefix: wtcache, sz: \d+ content:(.*)$/ ? $2 : () }
	  split /\n/, as_evil(
		"SELECT data FROM pg_logical_slot_get_changes('evil', NULL, NULL)");
}

# The same in the WAL itself, which has what no slot shows.
sub in_wal
{
	my ($from) = @_;
	my ($out, $err);
	my $end = $node->safe_psql('postgres', 'SELECT pg_current_wal_flush_lsn()');

	IPC::Run::run([ 'pg_waldump', '-r', 'LogicalMessage', '-s', $from, '-e', $end,
			'-p', $node->data_dir . '/pg_wal' ], '>', \$out, '2>', \$err);
	return map { /prefix "wtcache";? .*payload \(\d+ bytes\): ([0-9A-F ]+)/
		  ? pack('H*', $1 =~ s/ //gr) : () } split /\n/, $out;
}

sub position
{
	return $node->safe_psql('postgres', 'SELECT pg_current_wal_insert_lsn()');
}

sub idle
{
	$node->poll_query_until('postgres', q{
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL FROM wtcache.status})
	  or die 'the worker is not idle';
	return;
}

# What this does is replayed: the position in Redis is from before it, and Redis
# has lost what was pushed meanwhile.
sub replayed
{
	my ($code) = @_;
	my $offset = $node->log_length;
	my $lsn;

	idle();
	$node->safe_psql('postgres', 'CHECKPOINT');
	$lsn = $node->safe_psql('postgres',
		q{SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn});
	$code->();
	$redis->lose_since($lsn);
	$node->logged(qr/replay begins at/, $offset) or die 'nothing is replayed';
	idle();
	return;
}

# The same by a crash, with the worker stopped meanwhile.
sub crashed
{
	my ($code) = @_;

	$redis->wait_for_beat($node);
	$node->pause_worker;
	$code->();
	$node->crash;
	$redis->cli('del', 'items:1');
	$node->start;
	$node->poll_query_until('postgres', 'SELECT worker_pid IS NOT NULL FROM wtcache.status');
	idle();
	return;
}

sub item { return $redis->cli('get', "items:$_[0]"); }

sub write_item
{
	my ($id, $v) = @_;

	$node->safe_psql('postgres',
		"INSERT INTO items VALUES ($id, '$v') ON CONFLICT (id) DO UPDATE SET v = '$v'");
	return;
}

as_evil(q{SELECT pg_create_logical_replication_slot('evil', 'test_decoding')});

# --- forged ------------------------------------------------------------------

foreach my $transactional ('true', 'false')
{
	foreach my $how (\&replayed, \&crashed)
	{
		my $name = ($transactional eq 'true' ? 'transactional' : 'not transactional')
		  . ($how == \&crashed ? ', crash' : '');
		my $offset = $node->log_length;

		$how->(sub {
				my ($content, $copied);

				decoded();
				write_item(1, 'true');
				($content) = grep { /items:1P/ } decoded();
				like($content, qr/"v":"true"/, "$name: the forger reads it");
				write_item(1, 'next');
				$copied = $content;
				$content =~ s/"true"/"evil"/;
				emit($transactional, $content);
				emit($transactional, $copied);
				# under a code of the right form, and shapes that are none
				emit($transactional, $_) foreach '0' x 22 . substr($content, 22),
				  substr($content, 0, 22), substr($content, 0, 10), substr($content, 0, -1),
				  "${content}0", '', substr($content, 22);
				as_evil("SELECT pg_logical_emit_message($transactional, 'wtcache', '\\x00ff7e'::bytea)");
				# the prefix of earlier releases
				emit($transactional, $content, 'wtcache:0123456789abcdef')
			});
		is(item(1), '{"id":1,"v":"next"}', "$name: neither a forged message nor a copy counts");
		ok($node->logged(qr/WARNING:  wtcache: \d+ messages in WAL were passed over that wtcache has not written in their transactions/, $offset),
			"$name: the log warns");
		like($node->log_tail($offset), qr/HINT:  Find out which role calls pg_logical_emit_message\(\) with the prefix "wtcache"/,
			"$name: ... and says what to do");
		is($node->stat('cold_starts'), '0', "$name: the cache stays");
	}
}

# Each is counted once, however often it is read.
{
	my $before = $node->stat('forged');

	replayed(sub { emit('true', 'x' x 40) foreach 1 .. 3 });
	replayed(sub { });
	is($node->stat('forged') - $before, 3, 'forged messages are counted');
}

# A database is part of what is authenticated; the transaction is that of the
# record, so this is about a copy with an xid of its own.
{
	my @messages;

	$node->safe_psql('postgres', 'CREATE DATABASE other');
	replayed(sub {
			write_item(2, 'old');
			@messages = grep { /items:2/ } decoded();
			write_item(2, 'new');
			$node->safe_psql('other', "SELECT pg_logical_emit_message(true, 'wtcache', \$m\$$_\$m\$)")
			  foreach @messages;
		});
	is(item(2), '{"id":2,"v":"new"}', 'a copy in another database');
}

# --- large transactions ------------------------------------------------------

# They write messages on their way, which can be read and copied at once: in
# another transaction, and in this one, where they are authentic.
{
	my $s = $node->session;
	my @spilled;

	$s->query_safe(q{SET wtcache.batch_memory = '64kB'});
	$s->query_safe('BEGIN');
	$s->query_safe(q{INSERT INTO items SELECT i, 'first ' || repeat('x', 200)
		FROM generate_series(1000, 1999) i});
	# decoding reads what is flushed
	write_item(7, 'x');
	@spilled = grep { /items:1000P/ } decoded();
	is(scalar @spilled, 1, 'spilled: the forger reads it before the commit');
	$s->query_safe(q{UPDATE items SET v = 'second ' || repeat('x', 200)
		WHERE id BETWEEN 1000 AND 1999});
	$s->query_safe("SELECT pg_logical_emit_message($_, 'wtcache', \$m\$$spilled[0]\$m\$)")
	  foreach 'false', 'true';
	$s->query_safe('COMMIT');
	$s->quit;
	idle();
	like(item(1000), qr/second/, 'spilled: a copy in the same transaction is not the newest');

	# Nothing that is replayed is newer, and no version is known after a crash.
	write_item(1000, 'third');
	crashed(sub { emit($_, $spilled[0]) foreach 'false', 'true' });
	like(item(1000), qr/third/, 'spilled: a copy in another one does not count');
}

# --- what the worker writes --------------------------------------------------

# A prepared transaction's batch is written again when it is far behind.
{
	my $from;
	my @carried;

	$node->reconfigure('wtcache.max_wal_retained' => '32MB');
	$from = position();
	$node->safe_psql('postgres', q{
		BEGIN;
		INSERT INTO items VALUES (3, 'prepared');
		PREPARE TRANSACTION 'p'});
	$node->safe_psql('postgres', 'SELECT pg_switch_wal()') foreach 1 .. 3;
	$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(false, 'other', 'x');
		SELECT pg_switch_wal()}) foreach 1 .. 4;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		@carried = grep { /^.{22}n.*items:3/ } in_wal($from);
		last if @carried;
		sleep 0.1;
	}
	is(scalar @carried, 1, 'carried: it is written again');
	is(scalar(grep { /items:3/ } decoded()), 0, 'carried: no slot shows it');
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->restart;
	$node->safe_psql('postgres', "COMMIT PREPARED 'p'");
	idle();
	is(item(3), '{"id":3,"v":"prepared"}', 'carried: it counts after a restart');
	write_item(3, 'later');
	crashed(sub { emit($_, $carried[0]) foreach 'false', 'true' });
	is(item(3), '{"id":3,"v":"later"}', 'carried: a copy does not');
	is($node->stat('cold_starts'), '0', 'carried: not cold');
	$node->reconfigure('wtcache.max_wal_retained' => '4GB');
}

# Two-phase commit and subtransactions, as they should be
{
	replayed(sub {
			$node->safe_psql('postgres', q{
				BEGIN;
				SAVEPOINT a;
				INSERT INTO items VALUES (4, 'sub');
				SAVEPOINT b;
				INSERT INTO items VALUES (5, 'subsub');
				ROLLBACK TO b;
				INSERT INTO items VALUES (6, 'back');
				PREPARE TRANSACTION 'q'});
			$node->safe_psql('postgres', "COMMIT PREPARED 'q'");
		});
	is(join(' ', map { item($_) } 4 .. 6), '{"id":4,"v":"sub"}  {"id":6,"v":"back"}',
		'authentic messages count');
}

# --- the file ----------------------------------------------------------------

my $secret = substr(slurp_file($key_file), 0, 32);

sub mode { return sprintf '%04o', (stat $_[0])[2] & 07777; }

is(length slurp_file($key_file), 40, 'the file has a key');
is(mode($key_file), '0600', 'only the server reads it');
is(join(' ', grep { !/wtcache\.key$/ } glob($node->data_dir . '/wtcache*')), '',
	'and there is no other');

# It is shown nowhere.
{
	my @forms = ($secret, unpack('H*', $secret));
	my @where;

	$node->safe_psql('postgres', 'CHECKPOINT');
	foreach my $file (glob($node->data_dir . '/pg_wal/0*'), $node->logfile)
	{
		my $content = slurp_file($file);

		push @where, $file if grep { index($content, $_) >= 0 || index(lc $content, $_) >= 0 } @forms;
	}
	is("@where", '', 'the key is neither in WAL nor in the log');
	my $shown = $node->safe_psql('postgres', q{
		SELECT to_jsonb(s) FROM wtcache.status s;
		SELECT to_jsonb(s) FROM wtcache.stat s;
		SELECT name, setting FROM pg_settings}) . $redis->cli('hgetall', 'wtcache:position')
	  . $redis->cli('get', 'wtcache:token');
	is(index($shown, $forms[1]), -1, '... nor in a view, a setting or Redis');
}
like($redis->cli('hget', 'wtcache:position', 'key'), qr/^[0-9a-f]{16}$/,
	'Redis has a name for it');

# --- a promoted standby ------------------------------------------------------

# It has the file, so what its primary wrote and did not push is replayed.
{
	my $standby = Wtcache::Node->new('standby');

	$redis->wait_for_beat($node);
	$node->backup('b');
	$standby->init_from_backup($node, 'b', has_streaming => 1);
	$standby->start;
	is(slurp_file($standby->data_dir . '/wtcache.key'), slurp_file($key_file),
		'a base backup has the file');
	is(mode($node->backup_dir . '/b/wtcache.key'), '0600', '... with its mode');
	$redis->wait_for_beat($node);
	my $s = $node->session;
	$s->query_safe('SET wtcache.mode = async');
	$node->pause_worker;
	$s->query_safe("UPDATE items SET v = 'on the primary' WHERE id = 1");
	my ($content) = grep { /items:1P/ } decoded();
	emit('true', $content =~ s/primary/forgery/r);
	$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
	unlike(item(1), qr/primary/, 'the primary has not pushed it');

	# and one that the standby does not get
	$standby->reconfigure('primary_conninfo' => '');
	$standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver')
	  or die 'the standby still receives';
	decoded();
	# far enough ahead of what the standby takes for itself
	$node->safe_psql('postgres', 'SELECT pg_current_xact_id();' x 50);
	$s->query_safe('BEGIN');
	$s->query_safe("INSERT INTO items VALUES (8, 'lost')");
	my $xid = $s->query_safe('SELECT pg_current_xact_id()');
	$s->query_safe('COMMIT');
	# the commit is not waited for
	write_item(9, 'flushed');
	my ($lost) = grep { /items:8P/ } decoded();
	$s->quit;
	$node->crash;
	$standby->promote;
	ok($redis->poll_for('get items:1', qr/on the primary/), 'promoted: the message counts');
	is($standby->stat('cold_starts'), '0', 'promoted: not cold');
	is($standby->stat('forged'), '1', 'promoted: the forged one does not');

	# Its transaction ids are given out again, on another timeline.
	$redis->wait_for_beat($standby);
	$standby->pause_worker;
	my $now = 0;
	$now = $standby->safe_psql('postgres', 'SELECT pg_current_xact_id()')
	  while $now < $xid - 1;
	is($now, $xid - 1, 'promoted: the transaction id comes again');
	$standby->safe_psql('postgres',
		"SELECT pg_logical_emit_message(true, 'wtcache', \$m\$$lost\$m\$)");
	$standby->safe_psql('postgres', 'CHECKPOINT');
	$standby->crash;
	$standby->start;
	$standby->poll_query_until('postgres', q{
		SELECT worker_state LIKE 'idle%' AND replay_from IS NULL FROM wtcache.status})
	  or die 'the worker is not idle';
	is(item(8), '', 'promoted: what was lost with the old timeline stays lost');
	$standby->stop;
}

# --- another key -------------------------------------------------------------

sub cold
{
	my ($name, $reason) = @_;

	ok($node->poll_query_until('postgres', 'SELECT cold_starts > 0 FROM wtcache.stat'),
		"$name: the cache is emptied");
	idle();
	is($node->status('cold_reason'), $reason, "$name: the reason");
	is($redis->cli('keys', 'items:*'), '', "$name: nothing is left");
	write_item(1, $name);
	is(item(1), qq({"id":1,"v":"$name"}), "$name: it works again");
	$redis->wait_for_beat($node);
	return;
}

sub once
{
	my ($name) = @_;

	$node->restart;
	idle();
	is($node->stat('cold_starts'), '0', "$name: once");
	is(item(1), qq({"id":1,"v":"$name"}), "$name: and the cache stays");
	return;
}

my $other_key = 'Redis or WAL was written with another key than that of this server';

# Redis is another one's since the promotion.
$redis->cli('flushall');
$node->start;
idle();
write_item(1, 'before');
$redis->wait_for_beat($node);

# What was prepared under the old key cannot be read, and makes the cache cold
# again when it is committed.  An empty Redis does not tell which key it was.
foreach my $empty (0, 1)
{
	my $name = $empty ? 'a lost key and an empty Redis' : 'a lost key';
	my $content = slurp_file($key_file);
	my $id = $redis->cli('hget', 'wtcache:position', 'key');
	my $before;

	$node->safe_psql('postgres', q{
		BEGIN; UPDATE items SET v = 'unknown' WHERE id = 2; PREPARE TRANSACTION 'lost'});
	$node->stop;
	unlink $key_file;
	$redis->cli('flushall') if $empty;
	$node->start;
	cold($name, $other_key);
	is(length slurp_file($key_file), 40, "$name: there is a new one");
	isnt(substr(slurp_file($key_file), 0, 32), substr($content, 0, 32),
		"$name: ... which is another");
	isnt($redis->cli('hget', 'wtcache:position', 'key'), $id, "$name: and has another name");
	$before = $node->stat('cold_starts');
	$node->safe_psql('postgres', "SELECT wtcache.set('items:2', '\"old\"')");
	$node->safe_psql('postgres', "COMMIT PREPARED 'lost'");
	ok($node->poll_query_until('postgres', "SELECT cold_starts > $before FROM wtcache.stat"),
		"$name: a transaction that was prepared before");
	idle();
	is(item(2), '', "$name: ... leaves nothing that is stale");
	write_item(1, $name);
	$redis->wait_for_beat($node);
	once($name);
}

{
	my $name = 'a foreign key';
	my $content = join '', map { chr int rand 256 } 1 .. 32;

	$node->stop;
	open my $file, '>:raw', $key_file or die;
	print $file $content, "\1" . "\0" x 7;
	close $file;
	$node->start;
	cold($name, $other_key);
	once($name);
}

# The position of an earlier release has no key, and its messages had another
# prefix: both were written before the key was made.
{
	my $name = 'an upgrade';

	$redis->wait_for_beat($node);
	$node->stop;
	$redis->cli('hdel', 'wtcache:position', 'key');
	unlink $key_file;
	$node->start;
	cold($name, 'Redis was written by an earlier release of wtcache');
	once($name);
}

{
	my $name = 'a message of an earlier release';
	my $offset = $node->log_length;

	$redis->wait_for_beat($node);
	$node->pause_worker;
	emit('true', 'x', 'wtcache:0123456789abcdef');
	$node->safe_psql('postgres', 'CHECKPOINT');
	$node->crash;
	unlink $key_file;
	$node->start;
	cold($name, $other_key);
	# the position says it first; what is read of WAL says it as well
	once($name);
}

# A file that is damaged is not replaced without being asked.
{
	my $content = slurp_file($key_file);

	$node->stop;
	append_to_file($key_file, 'x');
	my $offset = $node->log_length;
	is($node->start(fail_ok => 1), 0, 'a file of another size: the server does not start');
	like($node->log_tail($offset), qr/FATAL:  file "wtcache\.key" has not the size of a key of wtcache/,
		'... and says why');
	like($node->log_tail($offset), qr/HINT:  Restore it from a backup, or remove it/,
		'... and what to do');
	truncate $key_file, 40;
	$node->start;
	idle();
	is($node->stat('cold_starts'), '0', '... repaired: it starts, and the cache stays');
	$node->stop;
}

# Where the group may read the data directory, it may read this file.
{
	my $group = Wtcache::Node->start_new(
		'group', url => $redis->url, init => { extra => ['-g'] });

	is(mode($group->data_dir . '/wtcache.key'), '0640', 'group access');
	$group->stop;
}

my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|terminated by signal (?!9\b)/, 'no crash of our making');

done_testing();
