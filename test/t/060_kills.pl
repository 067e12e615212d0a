# Kills under load: no corruption, nothing older over something newer, nothing
# that was not committed; and nothing that was committed is lost.  And sessions
# that are told to stop during a push.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::Node;
use Wtcache::Redis;

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $rows = 60;
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s',
		'wtcache.breaker_failures' => 0,
		'restart_after_crash' => 'on',
		# so that "committed" means something to a killed server
		'synchronous_commit' => 'on',
		'autovacuum' => 'off'
	});

# Every committed version of a row is in the history.
$node->safe_psql('postgres', qq{
	CREATE TABLE items (id int PRIMARY KEY, seq int, tx bigint, v text);
	CREATE TABLE history (id int, seq int, tx bigint);
	INSERT INTO items SELECT i, 0, 0, 'good' FROM generate_series(1, $rows) i;
	SELECT wtcache.attach('items')});

my $script = $node->basedir . '/kills.sql';
append_to_file($script, qq{
\\set a random(1, $rows)
\\set b random(1, $rows)
\\set r random(1, 10)
BEGIN;
WITH u AS (UPDATE items SET seq = seq + 1, tx = txid_current(), v = 'good'
	WHERE id = least(:a, :b) RETURNING id, seq, tx)
INSERT INTO history TABLE u;
\\if :r > 7
SAVEPOINT s;
UPDATE items SET v = 'poison' WHERE id = greatest(:a, :b);
ROLLBACK TO s;
\\endif
WITH u AS (UPDATE items SET seq = seq + 1, tx = txid_current(), v = 'good'
	WHERE id = greatest(:a, :b) RETURNING id, seq, tx)
INSERT INTO history TABLE u;
\\if :r = 1
UPDATE items SET v = 'poison' WHERE id = least(:a, :b);
ROLLBACK;
\\else
COMMIT;
\\endif
});

# --- what Redis shows --------------------------------------------------------

my @keys = map { "items:$_" } 1 .. $rows;
my %newest;    # the newest version of each row that Redis has ever shown
my %violation = (older => 0, poison => 0, broken => 0);
my $samples = 0;

# Look at all keys; returns them as they are.
sub sample
{
	my @json = split /\n/, $redis->cli('mget', @keys), -1;
	my %now;

	foreach my $id (1 .. $rows)
	{
		my $json = $json[ $id - 1 ] // '';

		next if $json eq '';
		if ($json !~ /^\{"id":$id,"seq":(\d+),"tx":(\d+),"v":"(\w+)"\}$/)
		{
			$violation{broken}++;
			diag("broken: $json");
			next;
		}
		$now{$id} = [ $1, $2 ];
		$violation{poison}++ if $3 ne 'good';
		$violation{older}++ if $newest{$id} && $newest{$id}[0] > $1;
		$newest{$id} = [ $1, $2 ] if !$newest{$id} || $newest{$id}[0] <= $1;
	}
	$samples++;
	return \%now;
}

sub progress { my $n = 0; $n += $_->[0] foreach values %newest; return $n; }

# What Redis shows was committed: the history knows it.
sub check_committed
{
	my ($name) = @_;
	my $now = sample();
	my $values = join ', ', map { "($_, $now->{$_}[0], $now->{$_}[1])" }
	  sort { $a <=> $b } keys %$now;

	is( $node->safe_psql('postgres', qq{
		SELECT count(*) FROM (VALUES $values) AS r(id, seq, tx)
		WHERE NOT EXISTS (SELECT FROM history h
			WHERE (h.id, h.seq, h.tx) = (r.id, r.seq, r.tx))
		AND r.seq > 0}),
		'0',
		"$name: every value in Redis was committed");
	is( $node->safe_psql('postgres', qq{
		SELECT count(*) FROM (VALUES $values) AS r(id, seq, tx)
		JOIN items USING (id) WHERE r.seq > items.seq}),
		'0',
		"$name: none is newer than the table");
	return;
}

# --- kill -9 under load ------------------------------------------------------

# A backend that is just now pushing or committing, if there is one
sub some_backend
{
	return $node->safe_psql('postgres', q{
		SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
		ORDER BY query ~ 'COMMIT' AND state = 'active' DESC, random() LIMIT 1});
}

# Has the process ended?  Somebody may still have to collect it.
sub gone
{
	my ($pid) = @_;

	return !-e "/proc/$pid"
	  || (eval { slurp_file("/proc/$pid/stat") } // ') Z') =~ /\) Z/;
}

# kill -9 of the postmaster, and a new one once the orphans have left
sub kill_postmaster
{
	my ($meanwhile) = @_;
	my $postmaster = $node->{_pid};
	my @orphans = map { /^(\d+)$/ ? $1 : () } split /\n/,
	  $node->safe_psql('postgres',
		'SELECT pid FROM pg_stat_activity UNION SELECT pg_backend_pid()');
	my $deadline = time + $timeout;

	$node->kill9;
	$meanwhile->() if $meanwhile;
	sleep 0.02
	  while grep({ !gone($_) } $postmaster, @orphans) && time < $deadline;
	# A container may have nobody to collect it; pg_ctl would believe it alive.
	$deadline = time + 5;
	sleep 0.02 while -e "/proc/$postmaster" && time < $deadline;
	unlink $node->data_dir . '/postmaster.pid',
	  $node->host . '/.s.PGSQL.' . $node->port . '.lock'
	  if -e "/proc/$postmaster";
	$node->start;
	return;
}

my %kill = (
	'backend' => sub { kill 'KILL', some_backend(); return; },
	'postmaster' => sub { kill_postmaster(); return; },
	'immediate stop' => sub { $node->stop('immediate'); $node->start; return; });

foreach my $victim (
	'backend', 'postmaster', 'immediate stop', 'backend', 'postmaster', 'backend')
{
	my ($out, $err) = ('', '');
	my $start = progress();
	my $h = IPC::Run::start(
		[
			'pgbench', '-n', '-c', '8', '-j', '2', '-T', $timeout,
			'-f', $script, $node->connstr('postgres')
		],
		'<', \undef, '>', \$out, '2>', \$err);
	my $deadline = time + $timeout;

	while (progress() < $start + 400 && time < $deadline) { sample(); }
	cmp_ok(progress(), '>=', $start + 400, "$victim: under load");
	$kill{$victim}->();
	eval { $h->finish };
	ok($node->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()'),
		"$victim: the server is up again");
	check_committed($victim);

	# What was committed and not pushed arrives by itself ...
	is($node->safe_psql('postgres', "SELECT wtcache.wait('${timeout}s')"),
		't', "$victim: replayed");
	is( $redis->cli('mget', @keys),
		$node->safe_psql('postgres', q{
			SELECT CASE WHEN seq > 0 THEN row_to_json(i)::text ELSE '' END
			FROM items i ORDER BY id}),
		"$victim: Redis has what is committed");
	sample();

	# ... and the next push of every row goes through.
	$node->safe_psql('postgres', q{
		WITH u AS (UPDATE items SET seq = seq + 1, tx = txid_current()
			RETURNING id, seq, tx)
		INSERT INTO history TABLE u});
	is( $redis->cli('mget', @keys),
		$node->safe_psql(
			'postgres', 'SELECT row_to_json(i) FROM items i ORDER BY id'),
		"$victim: afterwards Redis is as the table");
	sample();
}
is_deeply(\%violation, { older => 0, poison => 0, broken => 0 },
	"nothing older, rolled back or broken in any of the samples");
note("$samples samples");

# A backend is killed between its commit and its push.
{
	my $s = $node->session;
	my $pid = $node->pid_of($s);

	$s->query_safe('SET wtcache.debug_hold_push = on');
	$node->begin_query($s, 'UPDATE items SET seq = seq + 1 WHERE id = 1');
	ok($node->poll_query_until('postgres',
			'SELECT in_flight = 1 FROM wtcache.status'),
		'a push is held');
	my $before = $redis->cli('get', 'items:1');
	kill 'KILL', $pid;
	eval { $s->quit };
	ok($node->poll_query_until('postgres', "SELECT in_flight = 0 FROM wtcache.status"),
		'killed while it was held, the server is up again');
	is( $node->safe_psql('postgres',
			"SELECT seq > ('$before'::json ->> 'seq')::int FROM items WHERE id = 1"),
		't',
		'... committed');
	ok( $redis->poll_for(
			'get items:1',
			$node->safe_psql('postgres',
				'SELECT row_to_json(i) FROM items i WHERE id = 1')),
		'... and pushed by the worker');
	$node->safe_psql('postgres', 'UPDATE items SET seq = seq + 1 WHERE id = 1');
	is( $redis->cli('get', 'items:1'),
		$node->safe_psql('postgres',
			'SELECT row_to_json(i) FROM items i WHERE id = 1'),
		'... and the next one is');
}

# The postmaster is killed while a commit waits for the worker, which is then gone
# as well: the client must not hear of what Redis does not have.
{
	my ($out, $err) = ('', '');

	$node->pause_worker;
	my $h = IPC::Run::start(
		[
			'psql', '-X', '-d', $node->connstr('postgres'),
			'-c', q{SET wtcache.batch_memory = '64kB'},
			'-c', q{UPDATE items SET seq = seq + 1, v = repeat('good', 4000)}
		],
		'<', \undef, '>', \$out, '2>', \$err);
	ok($node->poll_query_until('postgres', q{
			SELECT count(*) = 1 FROM pg_stat_activity
			WHERE backend_type = 'client backend' AND wait_event_type = 'Extension'}),
		'a commit waits for the worker');
	kill_postmaster(
		sub {
			eval { $h->finish };
			$node->resume_worker;
		});
	unlike($out, qr/UPDATE/, '... and is not acknowledged by a server that is gone');
	like($err, qr/server closed the connection/, '... whose connection ends');
	is($node->safe_psql('postgres', "SELECT wtcache.wait('${timeout}s')"),
		't', '... and replayed');
	is( $redis->cli('get', 'items:1'),
		$node->safe_psql('postgres',
			'SELECT row_to_json(i) FROM items i WHERE id = 1'),
		'... to what is committed');
	$node->safe_psql('postgres', q{UPDATE items SET v = 'good'});
}

# --- told to stop during a push ----------------------------------------------

my ($s, $pid);

sub open_session
{
	$s = $node->session;
	$pid = $node->pid_of($s);
	# a connection to Redis
	$s->query_safe('UPDATE items SET seq = seq + 1 WHERE id = 2');
	return;
}

# A session hangs in its push; do something to it.
my $v = 0;
sub hanging
{
	my ($name, $sql, $do) = @_;
	my %before = $node->stats;
	my $new = 'v' . ++$v;

	$redis->pause;
	$sql =~ s/NEW/'$new'/;
	$node->begin_query($s, $sql);
	ok($node->poll_query_until('postgres', q{
		SELECT in_flight = 1 AND
			EXISTS (SELECT FROM items WHERE v = '} . $new . q{')
		FROM wtcache.status}),
		"$name: committed, and the push hangs");
	my $start = time;
	$do->();
	return ($start, $new, %before);
}

# What the push did not do the worker does, once Redis goes on.
sub healed
{
	my ($name) = @_;

	$redis->resume;
	ok( $redis->poll_for(
			'get items:2',
			$node->safe_psql('postgres',
				'SELECT row_to_json(i) FROM items i WHERE id = 2')),
		"$name: replayed");
	return;
}

# The session is as good as ever.
sub still_good
{
	my ($name) = @_;

	$redis->resume;
	$s->query_safe('SELECT 1');
	$s->query_safe("UPDATE items SET v = 'ok $name' WHERE id = 2");
	is( $redis->cli('get', 'items:2'),
		$node->safe_psql('postgres',
			'SELECT row_to_json(i) FROM items i WHERE id = 2'),
		"$name: the next push works");
	is($node->pid_of($s), $pid, "$name: the session goes on");

	# Are interrupts still served?
	my $start = time;
	$s->{stderr} = '';
	$s->query("SET statement_timeout = '200ms'");
	$s->query('SELECT pg_sleep(50)');
	like($s->{stderr}, qr/canceling statement due to statement timeout/,
		"$name: statement_timeout works");
	$s->{stderr} = '';
	$s->query('SET statement_timeout = 0');
	$node->begin_query($s, 'SELECT pg_sleep(50)');
	ok($node->poll_query_until('postgres',
			"SELECT pg_cancel_backend($pid) FROM pg_stat_activity"
			  . " WHERE pid = $pid AND wait_event = 'PgSleep'"),
		"$name: asleep");
	$s->query('SELECT 1');
	like($s->{stderr}, qr/canceling statement due to user request/,
		"$name: pg_cancel_backend works");
	cmp_ok(time - $start, '<', 45, "$name: ... at once");
	$s->{stderr} = '';
	return;
}

# pg_cancel_backend
{
	open_session();
	my ($start, $new, %before) =
	  hanging('cancel', 'UPDATE items SET v = NEW WHERE id = 2', sub {
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
		$s->query('SELECT 1');
	  });
	cmp_ok(time - $start, '<', 30, 'cancel: the push is given up');
	$s->{stderr} = '';
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 2'),
		$new, 'cancel: the commit stays');
	is($node->stat('fail_cancelled') - $before{fail_cancelled},
		1, 'cancel: counted');
	is($node->stat('pushes_failed') - $before{pushes_failed},
		1, 'cancel: a failed push');
	is($node->status('in_flight'), '0', 'cancel: nothing in flight');
	healed('cancel');
	still_good('cancel');
}

# statement_timeout is not in force during a commit of its own ...
{
	$s->query_safe("SET statement_timeout = '200ms'; SET wtcache.push_timeout = '1s'");
	my ($start, $new, %before) =
	  hanging('statement_timeout', 'UPDATE items SET v = NEW WHERE id = 2',
		sub { $s->query('SELECT 1'); });
	is($s->{stderr}, '', 'statement_timeout: no error');
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 2'),
		$new, 'statement_timeout: committed');
	is($node->stat('fail_timeout') - $before{fail_timeout},
		1, 'statement_timeout: until push_timeout');
	$s->query_safe("SET wtcache.push_timeout = '60s'");
	healed('statement_timeout');
	still_good('statement_timeout');
}

# ... but it is where a procedure commits.
{
	$s->query_safe("SET statement_timeout = '500ms'");
	my ($start, $new, %before) = hanging(
		'timeout in a block',
		'DO $$ BEGIN UPDATE items SET v = NEW WHERE id = 2; COMMIT; PERFORM pg_sleep(25); END $$',
		sub { $s->query('SELECT 1'); });
	cmp_ok(time - $start, '<', 20, 'timeout in a block: the push is given up');
	like(
		$s->{stderr},
		qr/canceling statement due to statement timeout/,
		'timeout in a block: the rest of it is cancelled');
	$s->{stderr} = '';
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 2'),
		$new, 'timeout in a block: the commit stays');
	is($node->stat('fail_cancelled') - $before{fail_cancelled},
		1, 'timeout in a block: counted');
	healed('timeout in a block');
	still_good('timeout in a block');
}

# Cancelled while connecting, which is before the commit: rolled back.
{
	my $other = $node->session;
	my $other_pid = $node->pid_of($other);
	my %before = $node->stats;

	$redis->pause;
	$node->begin_query($other, "UPDATE items SET v = 'never' WHERE id = 3");
	ok($node->poll_query_until('postgres',
			"SELECT pg_cancel_backend($other_pid) FROM pg_stat_activity"
			  . " WHERE pid = $other_pid AND state = 'active'"),
		'cancelled while connecting');
	$other->query('SELECT 1');
	$redis->resume;
	like($other->{stderr}, qr/canceling statement due to user request/,
		'... is an error');
	$other->{stderr} = '';
	is($node->safe_psql('postgres', "SELECT count(*) FROM items WHERE v = 'never'"),
		'0', '... and rolls back');
	$other->query_safe("UPDATE items SET v = 'later' WHERE id = 3");
	like($redis->cli('get', 'items:3'), qr/"later"/, '... and the next one works');
	$other->quit;
}

# pg_terminate_backend
{
	my ($start, $new, %before) =
	  hanging('terminate', 'UPDATE items SET v = NEW WHERE id = 2', sub {
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	  });
	ok($node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
		'terminate: the session ends');
	cmp_ok(time - $start, '<', 30, 'terminate: ... at once');
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 2'),
		$new, 'terminate: the commit stays');
	is($node->stat('fail_cancelled') - $before{fail_cancelled},
		1, 'terminate: counted');
	is($node->status('in_flight'), '0', 'terminate: nothing in flight');
	healed('terminate');
	eval { $s->quit };
	open_session();
	still_good('terminate');
}

# Fast shutdown
{
	my ($start, $new) =
	  hanging('fast shutdown', 'UPDATE items SET v = NEW WHERE id = 2',
		sub { $node->stop('fast'); });
	cmp_ok(time - $start, '<', 45, 'fast shutdown does not wait for Redis');
	$redis->resume;
	eval { $s->quit };
	$node->start;
	is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 2'),
		$new, 'fast shutdown: the commit stays');
	healed('fast shutdown');
}

$node->stop;
my $log = slurp_file($node->logfile);
unlike($log, qr/PANIC|TRAP|terminated by signal (?!9\b)/, 'no crash of our making');

done_testing;
