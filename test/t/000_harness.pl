# The test servers themselves: a private Redis and the proxy that misbehaves.
# Needs neither PostgreSQL nor the extension.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Test::More;
use Time::HiRes qw(time);
use Wtcache::BadRedis;
use Wtcache::Redis;

sub connect_to
{
	my ($bad) = @_;

	return $bad->port
	  ? IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $bad->port)
	  : IO::Socket::UNIX->new(Peer => $bad->socket);
}

# A client's connection, its handshake done
sub client
{
	my ($bad) = @_;
	my $sock = connect_to($bad);

	return undef unless $sock;
	request($sock, 'PING');
	request($sock, 'GET', 'wtcache:token');
	answer($sock, qr/^\+PONG\r\n\$-1\r\n$/);
	return $sock;
}

sub request
{
	my ($sock, @args) = @_;

	print $sock '*' . @args . "\r\n",
	  map { '$' . length($_) . "\r\n$_\r\n" } @args;
	$sock->flush;
	return;
}

# What a push is to the proxy
sub push_set
{
	my ($sock, $k, $v) = @_;

	request($sock, 'MULTI');
	request($sock, 'SET', $k, $v);
	request($sock, 'EXEC');
	request($sock, 'WATCH', 'wtcache:token');
	request($sock, 'GET', 'wtcache:token');
	return;
}

# Read until it looks as expected, the connection ends, or time is over.
sub answer
{
	my ($sock, $expected, $limit) = @_;
	my $deadline = time + ($limit // 30);
	my $got = '';

	while ((my $left = $deadline - time) > 0)
	{
		last unless IO::Select->new($sock)->can_read($left);
		my $n = sysread($sock, $got, 65536, length $got);
		return $got . (defined $n ? '<end>' : '<reset>') unless $n;
		return $got if $got =~ $expected;
	}
	return "$got<nothing>";
}

my $ok = qr/^\+OK\r\n\+QUEUED\r\n\*1\r\n\+OK\r\n\+OK\r\n\$-1\r\n$/;

# Redis

my $redis = Wtcache::Redis->new;

is($redis->cli('set', 'a', '1'), 'OK', 'a command');
ok($redis->poll_for('get a', '1'), 'poll_for');
like($redis->url, qr{^unix:///}, 'URL of a unix socket');

$redis->restart(keep => 1);
is($redis->cli('get', 'a'), '1', 'data kept over a restart');
$redis->restart;
is($redis->cli('exists', 'a'), '0', 'data not kept over a restart');
$redis->kill9;
ok(!$redis->is_running, 'killed');
$redis->start;

my $tcp = Wtcache::Redis->new(tcp => 1, requirepass => 'secret');
is($tcp->cli('ping'), 'PONG', 'a server with port and password');
is($tcp->url(db => 2, password => 'secret'),
	'redis://:secret@127.0.0.1:' . $tcp->port . '/2', 'URL of a port');
undef $tcp;

# The proxy, on both kinds of socket

foreach my $kind (0, 1)
{
	my $bad = Wtcache::BadRedis->new(upstream => $redis, tcp => $kind);
	my $name = $kind ? 'TCP' : 'unix';
	my $closed = $kind ? qr/<reset>$/ : qr/<(end|reset)>$/;
	my $client = client($bad);
	my ($other, $start);

	push_set($client, 'k', 'through');
	like(answer($client, $ok), $ok, "$name: proxy");
	is($redis->cli('get', 'k'), 'through', "$name: arrived");

	$bad->mode('error', text => 'OOM command not allowed', count => 1);
	push_set($client, 'k', 'oom');
	like(answer($client, qr/-1\r\n$/),
		qr/^\+OK\r\n-OOM command not allowed\r\n-EXECABORT [^\r]*\r\n\+OK\r\n\$-1\r\n$/,
		"$name: error");
	push_set($client, 'k', 'after');
	like(answer($client, $ok), $ok, "$name: once only");

	$bad->mode('drip', delay => 20, count => 1);
	$start = time;
	push_set($client, 'k', 'drip');
	like(answer($client, $ok), $ok, "$name: drip");
	cmp_ok(time - $start, '>=', 0.07, "$name: drip takes its time");

	$client = client($bad);
	$bad->mode('delay', delay => 200, count => 1);
	$start = time;
	push_set($client, 'k', 'delay');
	like(answer($client, $ok), $ok, "$name: delay");
	cmp_ok(time - $start, '>=', 0.19, "$name: delay takes its time");

	$bad->mode('extra', count => 1);
	push_set($client, 'k', 'extra');
	like(answer($client, qr/EXTRA\r\n$/), qr/^\+OK\r\n.*\$-1\r\n\+EXTRA\r\n$/s,
		"$name: extra");

	# Held, the client gives up, another one overtakes, released
	$bad->mode('hold', count => 1);
	push_set($client, 'k', 'held');
	ok($bad->wait_held, "$name: hold");
	$other = client($bad);
	push_set($other, 'k', 'overtaking');
	like(answer($other, $ok), $ok, "$name: others are not held");
	is($redis->cli('get', 'k'), 'overtaking', "$name: not yet released");
	close $client;
	$bad->release;
	is($redis->cli('get', 'k'), 'held', "$name: released");
	is($bad->status('held'), 0, "$name: nothing held any more");

	# Each closes or silences its connection.
	foreach my $case (
		[ 'close_before', $closed, 0 ],
		[ 'close_after', $closed, 1 ],
		[ 'close_mid', qr/^\+OK\r\n\+QUEUED[\r\n*1]*<(end|reset)>$/, 1 ],
		[ 'blackhole', qr/^<nothing>$/, 0 ],
		[ 'blackhole', qr/^<nothing>$/, 1, forward => 1 ],
		[ 'missing', qr/^<nothing>$/, 1 ],
		[ 'garbage', qr/^\x00\xff/, 0 ],
		[ 'negative', qr/^\$-7\r\n/, 0 ],
		[ 'huge', qr/^\$2000000000\r\n/, 0 ],
		[ 'hugearray', qr/^\*2000000000\r\n/, 0 ],
		[ 'nested', qr/^(\*1\r\n)+<nothing>$/, 0 ],
		[ 'reply', qr/^:7\r\n<nothing>$/, 0, text => ":7\r\n" ])
	{
		my ($mode, $expected, $executed, %o) = @$case;

		$client = client($bad);
		$redis->cli('del', 'k');
		$bad->mode($mode, scope => 'existing', %o);
		push_set($client, 'k', 'x');
		like(answer($client, qr/(?!)/, 0.3), $expected, "$name: $mode");
		is($redis->cli('exists', 'k'),
			$executed, "$name: $mode, executed or not");
		$client = client($bad);
		push_set($client, 'k', 'new');
		like(answer($client, $ok), $ok, "$name: not for new connections");
	}

	$bad->mode('blackhole', at => 'connect');
	my $sock = connect_to($bad);
	request($sock, 'PING');
	like(answer($sock, qr/(?!)/, 0.2), qr/^<nothing>$/,
		"$name: accepted, never answered");
	$bad->mode('close_before', at => 'request', scope => 'new');
	$sock = connect_to($bad);
	request($sock, 'PING');
	like(answer($sock, qr/(?!)/, 5), $closed, "$name: closed in the handshake");

	$bad->mode('refuse', drop => 1);
	is(client($bad), undef, "$name: refuse");
	is($bad->status('open'), 0, "$name: dropped");
	$bad->normal;
	ok(client($bad), "$name: back again");
}

# A stopped server takes connections and does not answer.
my $bad = Wtcache::BadRedis->new(upstream => $redis);
my $client = client($bad);
$redis->pause;
push_set($client, 'k', 'paused');
like(answer($client, $ok, 0.2), qr/^<nothing>$/, 'paused');
$redis->resume;
like(answer($client, $ok), $ok, 'resumed');

done_testing;
