# When Redis fails: every commit succeeds within the deadline, the failure is
# counted by class and logged, and as soon as Redis works again it has what was
# committed meanwhile, and the next push works.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use POSIX ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $limit = 10;    # seconds for a commit; push_timeout is far below
my $secret = 'pw.s3cret/of:mine@';
my $redis = Wtcache::Redis->new('stop-writes-on-bgsave-error' => 'yes');
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '700ms',
		'wtcache.connect_timeout' => '700ms',
		'wtcache.breaker_failures' => 0
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	CREATE TABLE tagged (id int PRIMARY KEY, v text);
	INSERT INTO items VALUES (1, 'rowdata-0');
	INSERT INTO tagged VALUES (1, 'rowdata-0');
	SELECT wtcache.attach('items');
	SELECT wtcache.attach('tagged', tags => ARRAY['all'])});

my $seq = 0;
my $session = $node->session;

# Run a statement in the session that stays, or in a new one.
sub run_in
{
	my ($new, $sql) = @_;
	my $s = $new ? $node->session : $session;
	my $start = time;

	$s->query_safe($sql);
	my $took = time - $start;
	$s->quit if $new;
	return $took;
}

# A commit while Redis fails
sub fails
{
	my ($name, $class, %o) = @_;
	my $table = $o{table} || 'items';
	my %before = $node->stats;
	my $v = 'rowdata-' . ++$seq;
	my $took =
	  run_in($o{new}, "UPDATE $table SET v = '$v' WHERE id = 1");
	my %after = $node->stats;
	my %changed =
	  map { $after{$_} != $before{$_} ? ($_ => $after{$_} - $before{$_}) : () }
	  keys %after;
	my %fail = map { /^fail_/ ? ($_ => $changed{$_}) : () } keys %changed;

	is($node->safe_psql('postgres', "SELECT v FROM $table WHERE id = 1"),
		$v, "$name: committed");
	cmp_ok($took, '<', $limit, "$name: in time");
	is_deeply(\%fail, { "fail_$class" => 1 }, "$name: class $class")
	  or diag(explain(\%changed));
	is($after{pushes_failed} - $before{pushes_failed}, 1, "$name: counted");
	is($node->status('last_failure'), $class, "$name: status");
	return;
}

# What Redis missed arrives by itself, and commits push again.
sub heals
{
	my ($name, %o) = @_;
	my $server = $o{redis} || $redis;
	my $table = $o{table} || 'items';
	my $row = $node->safe_psql('postgres',
		"SELECT row_to_json(t) FROM $table t WHERE id = 1");

	ok($server->poll_for([ @{ $o{cli} || [] }, 'get', "$table:1" ], $row),
		"$name: healed");
	is_open($name);
	return;
}

sub is_open
{
	my ($name) = @_;

	ok($node->poll_query_until('postgres', q{
			SELECT redis_open AND worker_state LIKE 'idle%' FROM wtcache.status}),
		"$name: open");
	return;
}

# A commit that must reach Redis at once
sub works
{
	my ($name, %o) = @_;
	my $server = $o{redis} || $redis;
	my $table = $o{table} || 'items';
	my %before = $node->stats;
	my $v = 'rowdata-' . ++$seq;

	run_in($o{new}, "UPDATE $table SET v = '$v' WHERE id = 1");
	is($server->cli(@{ $o{cli} || [] }, 'get', "$table:1"),
		qq({"id":1,"v":"$v"}), "$name: pushed");
	my %after = $node->stats;
	my %more = map { $_ => $after{$_} - $before{$_} } keys %after;
	is($more{pushes_failed}, 0, "$name: no failure");
	is($more{pushes_ok}, 1, "$name: counted");
	return;
}

sub move_to
{
	my ($url) = @_;

	$node->reconfigure('wtcache.url' => $url);
	$node->settle($session, 'wtcache.url' => $url);
	return;
}

works('at first');
works('at first, tagged', table => 'tagged');

# --- a real server -----------------------------------------------------------

$redis->stop;
fails('down', 'no_socket');
fails('down, new session', 'no_socket', new => 1);
$redis->start;
heals('up again');
works('up again');

$redis->restart;
# the worker may have found it away; the sessions have not
is_open('restarted while idle');
works('restarted while idle');
works('restarted while idle, other keys', table => 'tagged');
works('restarted while idle, new session', new => 1);
$redis->cli('script', 'flush');
works('scripts flushed');

# Full: the old value must be gone, whatever kind of value it was.
foreach my $table ('items', 'tagged')
{
	works("before full, $table", table => $table);
	$redis->cli('config', 'set', 'maxmemory', '1mb');
	$redis->cli('eval', q{
		for i = 1, 10000 do
			if type(redis.pcall('set', 'filler:' .. i, string.rep('x', 1000))) == 'table'
				and redis.pcall('set', 'x', 'y').err then
				return i
			end
		end}, 0);
	like($redis->cli('set', 'x', 'y'), qr/^OOM /, 'Redis is full');
	fails("full, $table", 'oom', table => $table);
	is($redis->cli('exists', "$table:1"), '0', "full, $table: old value gone");
	fails("full, $table, new session", 'oom', table => $table, new => 1);
	$redis->cli('config', 'set', 'maxmemory', '0');
	works("not full any more, $table", table => $table);
}
$redis->cli('flushall');
works('emptied');
works('emptied, other keys', table => 'tagged');

# Snapshots cannot be written.
mkdir $redis->dir . '/dump.rdb' or die;
$redis->cli('config', 'set', 'save', '100000 100000');
$redis->cli('bgsave');
ok($redis->poll_for('info persistence', qr/rdb_last_bgsave_status:err/),
	'BGSAVE fails');
fails('cannot save', 'misconf');
fails('cannot save, new session', 'misconf', new => 1);
rmdir $redis->dir . '/dump.rdb' or die;
$redis->cli('bgsave');
ok($redis->poll_for('info persistence', qr/rdb_last_bgsave_status:ok/),
	'BGSAVE works');
$redis->cli('config', 'set', 'save', '');
heals('can save');
works('can save');

$redis->cli('config', 'set', 'min-replicas-to-write', '1');
fails('no replicas', 'noreplicas');
$redis->cli('config', 'set', 'min-replicas-to-write', '0');
heals('no replicas needed');
works('no replicas needed');

# Demoted under an open connection, and met as a replica
$redis->cli('replicaof', '127.0.0.1', '1');
fails('demoted', 'readonly');
fails('replica, new session', 'readonly', new => 1);
$redis->cli('config', 'set', 'replica-serve-stale-data', 'no');
fails('replica without its master', 'readonly');
fails('replica without its master, new session', 'cluster', new => 1);
$redis->cli('config', 'set', 'replica-serve-stale-data', 'yes');
$redis->cli('replicaof', 'no', 'one');
heals('promoted');
works('promoted');
heals('promoted, afterwards');

# Keys of ours that are somebody else's
$redis->cli('del', 'tag:all');
$redis->cli('set', 'tag:all', 'a string');
fails('string in place of a tag set', 'wrongtype', table => 'tagged');
is($redis->cli('exists', 'tagged:1'),
	'0', 'string in place of a tag set: nothing stored without its tag');
works('string in place of a tag set, untagged table');
$redis->cli('del', 'tag:all');
works('tag set again', table => 'tagged');
is($redis->cli('smembers', 'tag:all'), 'tagged:1', 'registered');

foreach my $key ('token', 'position', 'journal')
{
	$redis->cli('del', "wtcache:$key");
	works("no $key");
	$redis->cli('del', "wtcache:$key");
	$redis->cli($key eq 'journal' ? 'set' : 'sadd', "wtcache:$key", 'other');
	works("something else in place of the $key");
	# The worker sets it right; a position that is lost empties the cache.
	ok($redis->poll_for([ 'type', "wtcache:$key" ],
			{ token => 'string', position => 'hash', journal => qr/^(none|string)$/ }->{$key}),
		"something else in place of the $key: set right");
	ok($node->poll_query_until('postgres', q{
			SELECT redis_open AND worker_state LIKE 'idle%' FROM wtcache.status}),
		"something else in place of the $key: open");
}

# Permissions
foreach my $command ('set', 'multi', 'watch')
{
	$redis->cli('acl', 'setuser', 'default', "-$command");
	if ($command eq 'watch')
	{
		works('a connection that stands, once');
	}
	else
	{
		fails("no permission for $command", 'noperm');
	}
	fails("no permission for $command, new session", 'noperm', new => 1);
	$redis->cli('acl', 'setuser', 'default', "+$command");
	heals("permission for $command");
	works("permission for $command");
}

# A script that does not end
{
	$redis->cli('config', 'set', 'lua-time-limit', '1');
	my $busy = fork // die;
	if ($busy == 0)
	{
		open(STDOUT, '>', '/dev/null');
		exec 'redis-cli', '-s', $redis->socket, 'eval', 'while true do end', 0;
	}
	ok($redis->poll_for('ping', qr/^BUSY /), 'Redis is busy');
	fails('busy', 'busy');
	fails('busy, new session', 'busy', new => 1);
	$redis->cli('script', 'kill');
	waitpid $busy, 0;
	$redis->poll_for('ping', 'PONG');
	$redis->cli('config', 'set', 'lua-time-limit', '5000');
	heals('not busy');
	works('not busy');
}

$redis->pause;
fails('stopped', 'timeout');
fails('stopped, connecting', 'timeout');
fails('stopped, new session', 'timeout', new => 1);
$redis->resume;
heals('goes on');
works('goes on');

# Loading: a slow start from a dump
$redis->cli('eval',
	q{for i = 1, 3000 do redis.call('set', 'filler:' .. i, string.rep('x', 100)) end},
	0);
$redis->cli('save');
$redis->stop('KILL');
$redis->{config}{'key-load-delay'} = 10000;
$redis->{config}{'loading-process-events-interval-bytes'} = 1024;
$redis->start;
like($redis->cli('get', 'items:1'), qr/^LOADING /, 'Redis is loading');
fails('loading', 'loading');
$redis->cli('config', 'set', 'key-load-delay', '0');
$redis->poll_for('ping', 'PONG');
heals('loaded');
works('loaded');
delete $redis->{config}{'key-load-delay'};

# --- where Redis is, and who we are there ------------------------------------

{
	my $tcp = Wtcache::Redis->new(tcp => 1, requirepass => $secret);
	my $host = '127.0.0.1:' . $tcp->port;
	my $file = $tcp->dir . '/password';

	move_to("redis://$host");
	fails('no password', 'auth');
	move_to("redis://:wrong\@$host/0");
	fails('wrong password', 'auth');
	move_to($tcp->url(password => $secret));
	heals('password in the URL', redis => $tcp);
	works('password in the URL', redis => $tcp);
	is($node->status('endpoint'),
		"redis://$host/0", 'the status shows no password');
	move_to($tcp->url(password => $secret, db => 3));
	heals('TCP, database', redis => $tcp, cli => [ '-n', 3 ]);
	works('TCP, database', redis => $tcp, cli => [ '-n', 3 ]);

	$tcp->cli('acl', 'setuser', 'joe', 'on', ">$secret", '~*', '&*', '+@all');
	move_to($tcp->url(user => 'joe', password => $secret));
	heals('user and password', redis => $tcp);
	works('user and password', redis => $tcp);
	like($tcp->cli('client', 'list'),
		qr/name=wtcache .*user=joe/, 'it is that user');
	move_to($tcp->url(user => 'jane', password => $secret));
	fails('unknown user', 'auth');

	append_to_file($file, "$secret\nsecond line\n");
	$node->set('wtcache.password_file' => $file);
	move_to("redis://$host/2");
	heals('password file', redis => $tcp, cli => [ '-n', 2 ]);
	works('password file', redis => $tcp, cli => [ '-n', 2 ]);
	move_to("redis://joe:ignored\@$host");
	heals('password file with a user', redis => $tcp);
	works('password file with a user', redis => $tcp);
	move_to('unix://' . $tcp->socket . '?db=5');
	heals('password file and socket', redis => $tcp, cli => [ '-n', 5 ]);
	works('password file and socket', redis => $tcp, cli => [ '-n', 5 ]);
	unlink $file;
	works('a connection that stands needs no password', redis => $tcp,
		cli => [ '-n', 5 ]);
	fails('password file missing', 'config', new => 1);
	POSIX::mkfifo($file, 0600);
	fails('password file that is a FIFO', 'config', new => 1);
	unlink $file;
	mkdir $file;
	fails('password file that is a directory', 'config', new => 1);
	rmdir $file;
	append_to_file($file, '');
	fails('password file that is empty', 'config', new => 1);

	# a long one is used whole, or not at all
	foreach my $length (511, 512, 8190, 8191)
	{
		my $long = 'x' x $length;

		$tcp->cli('acl', 'setuser', 'long', 'reset', 'on', ">$long", '~*', '&*', '+@all');
		unlink $file;
		append_to_file($file, "$long\n");
		move_to("redis://long:ignored\@$host/0");
		if ($length <= 8190)
		{
			heals("password of $length bytes", redis => $tcp);
			works("password of $length bytes", redis => $tcp);
		}
		else
		{
			fails("password of $length bytes", 'config', new => 1);
		}
	}
	unlink $file;
	$node->reconfigure('wtcache.password_file' => '');
	$node->settle($session, 'wtcache.password_file' => '');

	(my $coded = $secret) =~ s/(\W)/sprintf('%%%02X', ord $1)/ge;
	move_to("unix://joe:$coded@" . $tcp->socket);
	heals('user and password in the URL of a socket', redis => $tcp);
	works('user and password in the URL of a socket', redis => $tcp);

	# An empty URL says that there is no Redis, which is no failure.
	move_to('');
	my %before = $node->stats;
	run_in(0, "UPDATE items SET v = 'nowhere' WHERE id = 1");
	my %after = $node->stats;
	is($after{pushes_skipped} - $before{pushes_skipped}, 1, 'no URL: skipped');
	is($after{pushes_failed}, $before{pushes_failed}, 'no URL: no failure');
	move_to('redis://127.0.0.1:1');
	fails('nobody listens', 'connect');
	move_to('unix:///nonexistent/redis.sock');
	fails('no such socket', 'no_socket');
	move_to('redis://no-such-host.invalid');
	fails('no such host', 'unknown_host');
	move_to($redis->url);
	heals('back again');
	works('back again');
}

# --- a server that misbehaves ------------------------------------------------

# of a push with one command more
my $old_reply = "+OK\r\n" . "+QUEUED\r\n" x 2 . "*2\r\n" . "+OK\r\n" x 2
  . "+OK\r\n\$1\r\n1\r\n";

foreach my $kind (1, 0)
{
	my $bad = Wtcache::BadRedis->new(upstream => $redis, tcp => $kind);
	my $at = $kind ? 'TCP' : 'socket';

	move_to($bad->url);
	works("$at: proxy");

	foreach my $case (
		[ 'timeout', 'drip', delay => 200 ],
		[ 'timeout', 'blackhole' ],
		[ 'timeout', 'blackhole', forward => 1 ],
		[ 'timeout', 'missing' ],
		[ 'timeout', 'huge' ],
		[ 'closed', 'close_before' ],
		[ 'closed', 'close_before', how => 'fin' ],
		[ 'closed', 'close_mid' ],
		[ 'closed', 'close_mid', how => 'fin', bytes => 1 ],
		[ 'closed', 'close_after' ],
		[ 'protocol', 'garbage' ],
		[ 'protocol', 'negative' ],
		[ 'protocol', 'hugearray' ],
		[ 'protocol', 'nested' ],
		# deep enough to overflow the stack of who frees it
		[ 'protocol', 'nested', depth => 4000000 ],
		[ 'protocol', 'extra' ],
		[ 'protocol', 'reply', text => $old_reply ],
		[ 'protocol', 'reply', text => "+OK\r\n+OK\r\n" ],
		[ 'protocol', 'reply', text => "*-1\r\n" ],
		[ 'protocol', 'reply', text => "*10\r\n" . "\$-1\r\n" x 10 ],
		[ 'cluster', 'error', text => 'MOVED 1234 127.0.0.1:7000' ],
		[ 'cluster', 'error', text => 'CLUSTERDOWN Hash slot not served' ],
		[ 'other', 'error', text => 'ERR something new' ],
		[ 'other', 'error', text => '' ])
	{
		my ($class, $mode, %o) = @$case;
		my $name = join ' ', "$at: $mode",
		  map { s/[\r\n]+/,/gr } map { "$_=$o{$_}" } sort keys %o;

		# Deadlines do not depend on the kind of socket.
		next if $class eq 'timeout' && !$kind;
		$bad->mode($mode, scope => 'existing', %o);
		fails($name, $class);
		$bad->normal;
		heals($name);
		works("$name, afterwards");
	}

	# In the handshake
	foreach my $case (
		[ 'timeout', 'blackhole', at => 'connect' ],
		[ 'timeout', 'drip', at => 'connect', delay => 200 ],
		[ 'closed', 'close_before', at => 'connect', how => 'fin' ],
		[ 'closed', 'close_before', at => 'request', match => 'SETNAME' ],
		[ 'closed', 'close_mid', at => 'request', match => 'EXEC' ],
		[ 'timeout', 'blackhole', at => 'request', match => 'EXEC' ],
		[ 'protocol', 'garbage', at => 'request' ],
		[ 'protocol', 'reply', at => 'request', match => 'EXEC', text => "+OK\r\n" ],
		[ 'loading', 'error', at => 'request', match => 'SCRIPT', text => 'LOADING' ])
	{
		my ($class, $mode, %o) = @$case;
		my $name = join ' ', "$at: handshake, $mode",
		  map { s/[\r\n]+/,/gr } map { "$_=$o{$_}" } sort keys %o;

		next if $class eq 'timeout' && !$kind;
		$bad->mode($mode, scope => 'new', %o);
		fails($name, $class, new => 1);
		$bad->normal;
		heals($name);
		works("$name, afterwards", new => 1);
	}

	# Slow, but not too slow
	$bad->mode('delay', delay => 200);
	works("$at: slow");
	$bad->mode('refuse', drop => 1);
	fails("$at: refused", 'connect');
	$bad->normal;
	heals("$at: not refused");
	works("$at: not refused");
	$bad->drop;
	works("$at: connection dropped while idle");
}

move_to($redis->url);
heals('at last');

# --- the log -----------------------------------------------------------------

my $counted = sub {
	my %stats = $node->stats;
	my %fail =
	  map { /^fail_(.*)/ && $stats{$_} ? ($1 => $stats{$_}) : () } keys %stats;
	return join ', ', map { "$_ $fail{$_}" } sort keys %fail;
};
my $logged = sub {
	my %sum;
	my $log = slurp_file($node->logfile);

	while ($log =~
		/wtcache: talking to Redis at \S+ failed (\d+) times: (.*)/g)
	{
		my ($total, $classes) = ($1, $2);
		my $n = 0;

		# each with what was said, in parentheses
		while ($classes =~ /\G(\w+) (\d+)(?: \(.*?\))?(?:, |$)/g)
		{
			$sum{$1} += $2;
			$n += $2;
		}
		die "sum is wrong: $total: $classes" if $n != $total;
	}
	return join ', ', map { "$_ $sum{$_}" } sort keys %sum;
};
my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

sleep 0.1 while $logged->() ne $counted->() && time < $deadline;
is($logged->(), $counted->(), 'every failure is in the log, by class');

my $log = slurp_file($node->logfile);

# The server itself logs every setting that a reload changes.
$log =~ s/^.*parameter "wtcache\.url" changed to .*$//mg;
unlike($log, qr/rowdata/, 'no row data in the log');
unlike($log, qr/s3cret|s3cret|:wrong|ignored/, 'no password in the log');
unlike($log, qr/PANIC|TRAP|terminated by signal/, 'no crash');

is($node->status('in_flight'), '0', 'nothing is in flight');
ok($node->poll_query_until('postgres',
		q{SELECT replay_from IS NULL AND worker_state LIKE 'idle%' AND uncommitted_batches = 0
			FROM wtcache.status}),
	'nothing is left to be replayed');
$session->quit;
$node->stop;

done_testing;
