# Reading one's writes elsewhere: what a token of wtcache.token() says of a standby
# (wtcache.reached()), of Redis and of a replica of Redis (reached.lua).

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::Manual;
use Wtcache::Node;
use Wtcache::Redis;

my $top = "$FindBin::RealBin/../..";
my $script = slurp_file("$top/src/redis/reached.lua");

# What the documentation allows a reader
my ($user, @rules) = Wtcache::Manual->new("$top/doc/reference.md")
  ->section('Reading your own writes')->acl;
my $redis = Wtcache::Redis->new(tcp => 1, user => "$user @rules");
my $replica = Wtcache::Redis->new(
	user => "$user @rules",
	'repl-diskless-sync-delay' => 0,
	replicaof => '127.0.0.1 ' . $redis->port);

my $primary = Wtcache::Node->start_new('primary',
	url => $redis->url,
	init => { allows_streaming => 1 },
	conf => {
		'wtcache.push_timeout' => '30s',
		'max_prepared_transactions' => 5,
		'autovacuum' => 'off' });
$primary->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('item');
	INSERT INTO item SELECT i, 'old' FROM generate_series(1, 20) i});

# A standby of the primary, and one of that
my ($standby, $third) = map { Wtcache::Node->new($_) } qw(standby third);
$primary->backup('for_both');
$standby->init_from_backup($primary, 'for_both', has_streaming => 1);
$standby->start;
$third->init_from_backup($primary, 'for_both');
$third->enable_streaming($standby);
$third->start;

sub token { return $primary->safe_psql('postgres', 'SELECT wtcache.token()'); }

# Writes a row, and what wtcache.token() says afterwards
sub written
{
	my ($id, $v, $how) = @_;
	my ($token) = $primary->safe_psql('postgres',
		($how // '') . ";UPDATE item SET v = '$v' WHERE id = $id; SELECT wtcache.token()")
	  =~ /(\S+)$/;

	return $token;
}

# Whether a server has the token, and what it then shows of a row
sub of_server
{
	my ($node, $token, $timeout, $id) = @_;

	return $node->safe_psql('postgres',
		"SET statement_timeout = '2min'; SELECT wtcache.reached('$token', '$timeout');"
		  . ($id ? " SELECT v FROM item WHERE id = $id" : '')) =~ s/\n/ /r;
}

# The same of Redis, as the reader: the answer, and what is read after it
sub of_redis
{
	my ($of, $token, $id) = @_;
	my @as = ('--user', $user, '--pass', 'secret', '--no-auth-warning');
	my $answer = $of->cli(@as, 'eval_ro', $script, 1, 'wtcache:position', $token);
	my ($v) = !$id ? '' : $of->cli(@as, 'get', "item:$id") =~ /"v":"(.*?)"/;

	return $answer . ($id ? ' ' . ($v // 'nothing') : '');
}

# Waits as a reader does; what was seen last
sub await_redis
{
	my ($of, $token, $id) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $seen;

	while (($seen = of_redis($of, $token, $id)) !~ /^1/ && time < $deadline)
	{
		sleep 0.01;
	}
	return $seen;
}

# The worker has stored a position since
sub position_stored
{
	my ($code) = @_;
	my $stored = sub {
		return ($redis->cli('info', 'commandstats') =~ /cmdstat_hset:calls=(\d+)/)[0] // 0;
	};
	my $before = $stored->();
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $result = $code->();

	sleep 0.01 while $stored->() == $before && time < $deadline;
	die 'no position has been stored' if $stored->() == $before;
	return $result;
}

ok($replica->poll_for([ 'exists', 'item:1' ], '1'), 'the replica of Redis has the rows');

# --- a standby ---------------------------------------------------------------------

my $token = written(1, 'streamed');
is(of_server($standby, $token, '1 minute', 1), 't streamed', 'a standby has what was written');

$standby->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
ok($standby->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'"),
	'replay is paused');
$token = written(2, 'paused');
is(of_server($standby, $token, '0', 2), 'f old', 'it is not there yet');
my $begun = time;
is(of_server($standby, $token, '700 ms', 2), 'f old', '... nor in some time');
cmp_ok(time - $begun, '>=', 0.7, '... which is waited for');

# It waits in sleep, and can be told not to.
my $session = $standby->session;
my $pid = $standby->pid_of($session);
my $sleeping = $primary->pg_version >= 17 ? 'WtcacheAwaitReplay' : 'Extension';

sub waits
{
	return $standby->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' AND wait_event = '$sleeping'"
		  . " FROM pg_stat_activity WHERE pid = $pid");
}

$standby->begin_query($session, "SELECT wtcache.reached('$token', '1 hour')");
ok(waits(), 'it sleeps while it waits');
$standby->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
$session->query('SELECT 1');
like($session->{stderr}, qr/canceling statement due to user request/, '... and can be cancelled');
$session->{stderr} = '';

$standby->begin_query($session, "SELECT wtcache.reached('$token', '1 hour') AS reached");
ok(waits(), 'it waits again');
$standby->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
is($session->query_safe('SELECT v FROM item WHERE id = 2'), "t\npaused",
	'... until replay goes on');
is(of_server($third, $token, '1 minute', 2), 't paused', 'a standby of the standby');
$session->quit;

{
	my ($out, $err) = ('', '');

	$standby->psql('postgres', "\\set VERBOSITY sqlstate\nSELECT wtcache.token()",
		stdout => \$out, stderr => \$err);
	like($err, qr/55000/, 'a standby makes none');
}

# --- Redis -------------------------------------------------------------------------

# Each has to wait for the next position, which would take five seconds without a
# token, nine times at least.
$begun = time;
my @wrong;

foreach my $i (1 .. 10)
{
	my $seen = await_redis($redis, written(3, "write $i"), 3);

	push @wrong, $seen unless $seen eq "1 write $i";
}
is("@wrong", '', 'Redis has what was written');
cmp_ok(time - $begun, '<', 40, 'the position is stored for a token');

# In async mode the answer is what tells.
@wrong = ();
foreach my $i (1 .. 20)
{
	my $seen = await_redis($redis, written(4, "async $i", 'SET wtcache.mode = async'), 4);

	push @wrong, $seen unless $seen eq "1 async $i";
}
is("@wrong", '', 'async: Redis is that far when it says so, and not before');

# A commit that others see and that is not in Redis
my $held = $primary->session;
$held->query_safe('SET wtcache.debug_hold_push = on');
$primary->begin_query($held, q{UPDATE item SET v = 'held' WHERE id = 5});
ok($primary->poll_query_until('postgres', q{SELECT v = 'held' FROM item WHERE id = 5}),
	'a commit is visible');
$token = position_stored(\&token);
is(of_redis($redis, $token, 5), '0 old', 'Redis is not that far while a push is under way');
is(of_server($standby, $token, '1 minute', 5), 't held', '... but a standby is');
ok($primary->release_pushes, 'the push goes on');
$held->query_safe('SELECT 1');
is(await_redis($redis, $token, 5), '1 held', '... and Redis is that far');
$held->quit;

# The worker is behind
$primary->pause_worker;
$token = written(6, 'later', 'SET wtcache.mode = async');
is(of_redis($redis, $token, 6), '0 old', 'Redis is not that far while the worker does nothing');
$primary->resume_worker;
is(await_redis($redis, $token, 6), '1 later', '... and when it has replayed, it is');

# What is prepared has not been committed, but keeps the watermark back.
$primary->safe_psql('postgres', q{
	BEGIN; UPDATE item SET v = 'prepared' WHERE id = 7; PREPARE TRANSACTION 'p'});
ok($primary->poll_query_until('postgres', 'SELECT uncommitted_batches = 1 FROM wtcache.status'),
	'a batch is parked');
$token = position_stored(sub { written(8, 'beside') });
is(of_redis($redis, $token, 8), '0 beside', 'a parked batch keeps the position back');
$primary->safe_psql('postgres', q{COMMIT PREPARED 'p'});
is(await_redis($redis, $token, 8), '1 beside', '... until its transaction is over');
is(await_redis($redis, token(), 7), '1 prepared', '... and then it is there as well');

# A replica that is behind
$replica->cli('replicaof', 'no', 'one');
$token = written(9, 'replicated');
is(await_redis($redis, $token, 9), '1 replicated', 'Redis is that far');
is(of_redis($replica, $token, 9), '0 old', '... and its replica is not');
$replica->cli('replicaof', '127.0.0.1', $redis->port);
is(await_redis($replica, $token, 9), '1 replicated', '... until it has caught up');

# A Redis that has lost what it had
$redis->cli('save');
$token = written(10, 'lost');
is(await_redis($redis, $token, 10), '1 lost', 'Redis is that far');
$primary->pause_worker;
$redis->stop('KILL');
$redis->start;
is(of_redis($redis, $token, 10), '0 old', '... and no more after a restart with older data');
$primary->resume_worker;
is(await_redis($redis, $token, 10), '1 lost', '... until it is healed');
$primary->pause_worker;
$redis->cli('flushall');
is(of_redis($redis, $token, 10), '0 nothing', 'one that was emptied knows nothing');
$primary->resume_worker;
is(await_redis($redis, $token, 10), '1 nothing', '... and then, that it has nothing older');

# Redis away
$redis->stop;
$token = written(11, 'without Redis');
is(of_server($standby, $token, '1 minute', 11), 't without Redis',
	'a standby does not need Redis');
$redis->start;
is(await_redis($redis, $token, 11), '1 without Redis', 'Redis is back');

# Tokens that are none, or another system's
like(of_redis($redis, $_), qr/malformed token/, "\"$_\" is none")
  foreach '', '1', '1-1', '1-1-', '1-1-1-1', '01-1-1', '1-0-1', '1-1-1 ', 'a-1-1';
my ($system, $timeline, $lsn) = split /-/, $token;
is(of_redis($redis, $token), '1', 'one that is reached');
is(of_redis($redis, $_), '0', "$_ is not")
  foreach '1' . "-$timeline-$lsn", "$system-2-$lsn", "$system-$timeline-1$lsn",
  "$system-$timeline-18446744073709551615";
is(of_redis($redis, "$system-$timeline-" . substr($lsn, 0, -1)), '1', 'a smaller one is');
is(of_server($standby, "1-$timeline-$lsn", '1 day'), 'f',
	'a standby does not wait for what another system has');
is(of_server($standby, "$system-$timeline-1$lsn", '100 ms'), 'f', 'nor longer than it is told to');

# --- promotion ---------------------------------------------------------------------

ok($redis->poll_for('hget wtcache:position journal', qr/^\d+$/), 'there is a journal');
$redis->wait_for_beat($primary);
my $old = written(12, 'kept');
is(of_server($_, $old, '1 minute', 12), 't kept', $_->name . ' has it') foreach $standby, $third;
$standby->reconfigure('primary_conninfo' => '');
ok($standby->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver'),
	'the standby is cut off');
my $lost = written(13, 'lost');
is(await_redis($redis, $lost, 13), '1 lost', 'what will be lost is in Redis');
$third->safe_psql('postgres', 'SELECT pg_wal_replay_pause()');
ok($third->poll_query_until('postgres', "SELECT pg_get_wal_replay_pause_state() = 'paused'"),
	'the other standby is paused');
$standby->promote;

is(of_server($standby, $old, '0', 12), 't kept', 'promoted: what it has is reached');
is(of_server($standby, $lost, '1 day', 13), 'f old', '... what it lacks is not, and not waited for');
$standby->safe_psql('postgres', q{UPDATE item SET v = 'new' WHERE id = 14});
my $new = $standby->safe_psql('postgres', 'SELECT wtcache.token()');
like($new, qr/^$system-2-/, 'its tokens are of the new timeline');
is(await_redis($redis, $new, 14), '1 new', '... and reached in Redis');
is(of_redis($redis, $lost, 13), '0 nothing', 'a token of what was lost is not');
is(of_redis($redis, $old, 12), '0 kept', 'nor is any of the old timeline');
is(of_server($primary, $new, '1 day'), 'f', 'the old primary has nothing of the new one');

is(of_server($third, $new, '0', 14), 'f old', 'a standby that has not followed has not either');
$third->safe_psql('postgres', 'SELECT pg_wal_replay_resume()');
is(of_server($third, $new, '2 minutes', 14), 't new', '... until it has');
is(of_server($third, $old, '0', 12), 't kept', '... also what it had before');
is(of_server($third, $lost, '1 day'), 'f', '... but not what was lost');

$third->stop;
$standby->stop;
$primary->stop('immediate');

done_testing();
