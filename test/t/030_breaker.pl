# The circuit breaker: opens after some outages, costs nothing while it is
# open, lets a single probe through, and closes when that succeeds.
#
# It also closes when the worker reaches Redis, which would come before most of
# what is to be seen here: the worker is stopped until its turn comes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $bad = Wtcache::BadRedis->new(upstream => $redis);
my $node = Wtcache::Node->start_new(
	'main',
	url => $bad->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s',
		'wtcache.breaker_failures' => 3,
		'wtcache.breaker_cooldown' => '1h'
	});
my ($log_start, $conns, %before, %after, $session);

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v int NOT NULL);
	INSERT INTO items SELECT i, 0 FROM generate_series(1, 10) i;
	SELECT wtcache.attach('items')});

sub touch
{
	my ($s, $n) = @_;

	$s->query_safe('UPDATE items SET v = v + 1 WHERE id = 1')
	  foreach 1 .. ($n // 1);
	return;
}

# What counters went up by since %before was taken.
sub diff { my ($counter) = @_; return $after{$counter} - $before{$counter}; }

sub state_is
{
	my ($state, $name) = @_;

	is($node->status('breaker'), $state, $name);
	return;
}

# A restarted server whose worker has met Redis and is stopped
sub restart_without_worker
{
	$node->resume_worker;
	$node->stop;
	$node->set(@_);
	$bad->normal;
	$node->start;
	$node->pause_worker;
	return;
}

# --- closed -> open ----------------------------------------------------------

$node->pause_worker;
$session = $node->session;
touch($session);
state_is('closed', 'closed at first');
is($node->status('consecutive_failures'), '0', 'no failures yet');

# Refusals by a Redis that can be talked to are no outage.
$bad->mode('error', text => 'OOM command not allowed');
touch($session, 5);
is($node->stat('fail_oom'), '5', 'refused five times');
state_is('closed', '... is no outage');

# Two outages, a success, two outages: never three in a row
foreach my $round (1, 2)
{
	$bad->mode('close_before', at => 'connect');
	$bad->drop;
	touch($session, 2);
	is($node->status('consecutive_failures'), '2', 'two outages');
	$bad->normal;
	touch($session);
	is($node->status('consecutive_failures'), '0', '... and a success');
}
state_is('closed', 'still closed');

$log_start = -s $node->logfile;
$bad->mode('close_before', at => 'connect');
$bad->drop;
my $t0 = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
%before = $node->stats;
$conns = $bad->status('conns');
touch($session, 3);
is($bad->status('conns') - $conns, 3, 'three connections refused');
state_is('open', 'the third one opens it');
is($node->status("breaker_since BETWEEN '$t0' AND clock_timestamp()"),
	't', 'since');
is($node->status('consecutive_failures'), '3', 'failures in a row');
is($node->status('last_failure'), 'closed', 'last failure');

# Open: commits do not even try, in no session.
touch($session, 50);
my $other = $node->session;
touch($other, 20);
is($bad->status('conns') - $conns, 3, 'open: nobody connects');
%after = $node->stats;
is(diff('pushes_failed'), 3, 'failed pushes');
is(diff('fail_closed'), 3, '... of their class');
is(diff('pushes_skipped'), 70, 'skipped pushes');
is(diff('pushes_ok'), 0, 'no successful push');
is($node->status('in_flight'), '0', 'nothing in flight');
isnt($node->status('replay_from'), '', 'a replay is called for');
is($node->safe_psql('postgres', 'SELECT v FROM items WHERE id = 1'),
	5 + 6 + 3 + 71, 'all committed');
my ($code, $out, $err) =
  $node->psql('postgres', "SELECT wtcache.get('items:1')");
like($err, qr/could not read from Redis: connect/, 'wtcache.get() says so');
is($bad->status('conns') - $conns, 3, '... and does not connect either');
$node->resume_worker;
ok( $node->wait_for_log(
		qr/wtcache: circuit breaker opened after 3 failures in a row/,
		$log_start),
	'logged');

# --- open -> half-open -> closed ---------------------------------------------

# A restart is the end of an hour's cooldown.
$_->quit foreach $session, $other;
restart_without_worker('wtcache.breaker_cooldown' => '200ms');
state_is('closed', 'closed after a restart');
$session = $node->session;
$bad->mode('close_before', at => 'connect');
touch($session, 3);
ok($node->poll_query_until('postgres',
		q{SELECT breaker = 'half-open' FROM wtcache.status}),
	'half-open once the cooldown is over');

# The cooldown that the probe sets is to be a long one.
my @sessions = map { $node->session } 1 .. 8;
$node->reconfigure('wtcache.breaker_cooldown' => '1h');
$node->settle($_, 'wtcache.breaker_cooldown' => '1h') foreach @sessions;
state_is('half-open', 'half-open until somebody commits');

# All commit at once; the probe is held on its way.
$bad->mode('hold');
$conns = $bad->status('conns');
$log_start = -s $node->logfile;
%before = $node->stats;
foreach my $i (0 .. $#sessions)
{
	$node->begin_query($sessions[$i], "UPDATE items SET v = -$i WHERE id = 1 + $i");
}
ok($bad->wait_held, 'the probe is under way');
ok($node->poll_query_until('postgres',
		'SELECT pushes_skipped = ' . ($before{pushes_skipped} + 7)
		. ' FROM wtcache.stat'),
	'all others are skipped');
is($bad->status('conns') - $conns, 1, 'one connection');
is($bad->status('held'), 1, 'one probe');
state_is('open', 'open meanwhile');
is($node->status('in_flight'), '1', 'the probe is in flight');

# More commits while it is out: 7 sessions are free, which ones is open.
touch($session = $node->session, 10);
is($bad->status('conns') - $conns, 1, 'still one connection');
$bad->normal;
$bad->release;
$_->query_safe('SELECT 1') foreach @sessions;
state_is('closed', 'closed by the successful probe');
%after = $node->stats;
is(diff('pushes_ok'), 1, 'the probe was pushed');
is(diff('pushes_skipped'), 17, 'the others were skipped');
is(diff('pushes_failed'), 0, 'no failure');
is($node->status('consecutive_failures'), '0', 'no failures in a row');
touch($_) foreach @sessions;
%after = $node->stats;
is(diff('pushes_ok'), 9, 'everybody pushes again');
is($redis->cli('get', 'items:1'),
	$node->safe_psql('postgres', 'SELECT row_to_json(i) FROM items i WHERE id = 1'),
	'... what is in the table');
$node->resume_worker;
ok( $node->wait_for_log(
		qr/wtcache: circuit breaker closed, \d+ commits were not pushed meanwhile/,
		$log_start),
	'logged');

# --- half-open -> open -------------------------------------------------------

$node->pause_worker;
$node->reconfigure('wtcache.breaker_cooldown' => '200ms');
$node->settle($_, 'wtcache.breaker_cooldown' => '200ms')
  foreach $session, @sessions;
$bad->mode('close_before', at => 'connect');
$bad->drop;
touch($session, 3);
isnt($node->status('breaker'), 'closed', 'opened again');
ok($node->poll_query_until('postgres',
		q{SELECT breaker = 'half-open' FROM wtcache.status}),
	'half-open again');
$node->reconfigure('wtcache.breaker_cooldown' => '1h');
$node->settle($_, 'wtcache.breaker_cooldown' => '1h') foreach $session, @sessions;
$conns = $bad->status('conns');
%before = $node->stats;
touch($_) foreach $session, @sessions;
%after = $node->stats;
is($bad->status('conns') - $conns, 1, 'one probe');
is(diff('pushes_failed'), 1, '... which fails');
is(diff('pushes_skipped'), 8, 'the others are skipped');
state_is('open', 'open for another cooldown');

# --- a probe that dies is followed by another --------------------------------

restart_without_worker(
	'wtcache.breaker_cooldown' => '200ms',
	'restart_after_crash' => 'on');
$session = $node->session;
$bad->mode('close_before', at => 'connect');
touch($session, 3);
ok($node->poll_query_until('postgres',
		q{SELECT breaker = 'half-open' FROM wtcache.status}),
	'half-open before a probe that dies');
$bad->mode('blackhole', at => 'connect');
$conns = $bad->status('conns');
my $probe = $node->session;
my $pid = $node->pid_of($probe);
$node->begin_query($probe, 'UPDATE items SET v = 0 WHERE id = 2');
ok($bad->wait_for('conns', $conns + 1), 'the probe connects');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
ok($node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid"),
	'the probe is terminated while it connects');
$bad->normal;
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
my $closed;
until (($closed = $node->status('breaker') eq 'closed') || time > $deadline)
{
	touch($session);
	sleep 0.05;
}
ok($closed, 'another probe closes the breaker');

# --- switched off ------------------------------------------------------------

$node->reconfigure('wtcache.breaker_failures' => 0);
$node->settle($session, 'wtcache.breaker_failures' => 0);
$bad->mode('close_before', at => 'connect');
$bad->drop;
%before = $node->stats;
touch($session, 20);
%after = $node->stats;
is(diff('pushes_failed'), 20, 'switched off: every commit tries');
is(diff('pushes_skipped'), 0, '... none is skipped');
state_is('closed', 'it never opens');
$bad->normal;
touch($session);
is($redis->cli('get', 'items:1'),
	$node->safe_psql('postgres', 'SELECT row_to_json(i) FROM items i WHERE id = 1'),
	'the first one after the outage is pushed');

# --- the worker as the probe -------------------------------------------------

# Nobody commits; the worker finds Redis again, closes the breaker long before
# its cooldown is over, and replays what was skipped.
$node->resume_worker;
foreach my $cooldown ('1h', '200ms')
{
	my %settings = (
		'wtcache.breaker_failures' => 3,
		'wtcache.breaker_cooldown' => $cooldown);

	$node->reconfigure(%settings);
	$node->settle($session, %settings);
	$bad->mode('close_before', at => 'connect');
	$bad->drop;
	touch($session, 8);
	isnt($node->status('breaker'), 'closed', "cooldown $cooldown: open");
	$bad->normal;
	ok($node->poll_query_until('postgres',
			q{SELECT breaker = 'closed' FROM wtcache.status}),
		"cooldown $cooldown: closed by the worker");
	ok( $redis->poll_for(
			'get items:1',
			$node->safe_psql('postgres',
				'SELECT row_to_json(i) FROM items i WHERE id = 1')),
		"cooldown $cooldown: ... which replays what was skipped");
	%before = $node->stats;
	touch($session);
	%after = $node->stats;
	is(diff('pushes_ok'), 1, "cooldown $cooldown: sessions push again");
}

eval { $_->quit } foreach $session, @sessions;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
