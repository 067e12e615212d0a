# What Redis or the system says when using Redis fails: each reason has a class or
# a text of its own, in wtcache.stat_failure, the advice and the server log, and
# none of them tells a key, a value or a password.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IO::Socket::INET;
use PostgreSQL::Test::Utils;
use Test::More;
use POSIX ();
use Time::HiRes qw(sleep time);
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new(tcp => 1);
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	init => { extra => [ '--encoding=UTF8', '--no-locale' ] },
	conf => { 'wtcache.breaker_cooldown' => '100ms', 'wtcache.connect_timeout' => '10s' });

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('items', key => 'secretkey:{id}')});

my $session = $node->session;

# Writes until this is true
sub write_until
{
	my ($condition, $name) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $met = '';

	while ($met ne 't' && time < $deadline)
	{
		$session->query_safe(q{INSERT INTO items VALUES (1, 'secretvalue')
			ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v});
		$met = $session->query_safe("SELECT $condition");
		sleep 0.02 if $met ne 't';
	}
	is($met, 't', $name);
	return $met eq 't';
}

sub failure
{
	my ($column, $class) = @_;

	return $node->safe_psql('postgres',
		"SELECT $column FROM wtcache.stat_failure WHERE class = '$class'");
}

# With what is wrong, a commit fails in this way
sub fails
{
	my ($name, $url, $class, $message, $advice, $by_worker) = @_;
	my $offset = -s $node->logfile;

	$node->safe_psql('postgres', q{SELECT wtcache.stat_reset()});
	$node->reconfigure('wtcache.url' => $url);
	my $seen = $by_worker ? 'count = 0 AND message IS NOT NULL' : 'count > 0';
	write_until("$seen FROM wtcache.stat_failure WHERE class = '$class'", "$name: $class")
	  or diag $node->safe_psql('postgres',
		'SELECT * FROM wtcache.stat_failure WHERE last IS NOT NULL');
	like(failure('message', $class), $message, "$name: what was said");
	is(failure('first <= last AND last <= clock_timestamp()', $class), 't', "$name: when");
	like($node->status('advice'), qr/\Q$advice\E/, "$name: the advice");
	$node->wait_for_log($by_worker ? qr/the worker cannot talk to Redis at \S+: $class \(/ :
		qr/talking to Redis at \S+ failed \d+ times: .*$class \d+ \(/, $offset);
	like(slurp_file($node->logfile, $offset), $message, "$name: the log");
	return;
}

# All is well again
sub mended
{
	my ($name, %settings) = @_;

	$node->reconfigure(%settings) if %settings;
	write_until(q{redis_open AND breaker = 'closed' FROM wtcache.status}, "$name: mended");
	return;
}

# --- where Redis should be ------------------------------------------------------

is($node->safe_psql('postgres', 'SELECT count(*) FROM wtcache.stat_failure WHERE count = 0 AND first IS NULL AND last IS NULL AND message IS NULL'),
	$node->safe_psql('postgres', 'SELECT count(*) FROM wtcache.stat_failure'), 'none at first');

fails('missing socket', 'unix:///tmp/no-such-directory/redis.sock', 'no_socket', qr/No such file or directory/, 'there is no such socket');

my $closed = Wtcache::Redis->new;
chmod 0, $closed->socket or die "chmod: $!";
fails('closed socket', $closed->url, 'socket_permission', qr/Permission denied/, 'unixsocketperm');
undef $closed;

fails('unknown host', 'redis://no-such-host.invalid', 'unknown_host', qr/\w+ name|name resolution|not known/,
	'the name of its host cannot be resolved');

my $free = Wtcache::Redis::free_port();
fails('no server', "redis://127.0.0.1:$free", 'connect', qr/Connection refused/, 'no connection can be made');

{
	my $dir = $redis->dir;
	my $port = Wtcache::Redis::free_port();
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		open(my $f, '>', "$dir/sentinel.conf") or die $!;
		print $f "port $port\nbind 127.0.0.1\nlogfile $dir/sentinel.log\ndir $dir\n";
		close $f;
		exec 'redis-server', "$dir/sentinel.conf", '--sentinel' or die "exec: $!";
	}
	sleep 0.05
	  until IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
	  or waitpid($pid, POSIX::WNOHANG()) != 0;
	fails('Sentinel', "redis://127.0.0.1:$port", 'unknown_command', qr/ERR unknown command '\w+'\)?$/m,
		'neither to a Sentinel nor to a proxy');
	kill 'TERM', $pid;
	waitpid $pid, 0;
}
mended('Redis', 'wtcache.url' => $redis->url);

# --- what Redis says ------------------------------------------------------------

# As many clients as it accepts, namely this one
my $only = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $redis->port) or die $!;

sub most
{
	my ($n) = @_;

	print $only "CONFIG SET maxclients $n\r\n";
	is(scalar(<$only>), "+OK\r\n", "maxclients is $n");
	return;
}

most(1);
fails('maxclients', $redis->url(db => 1), 'maxclients', qr/ERR max number of clients reached/, 'Raise maxclients');
most(100);
mended('maxclients');

$redis->cli('acl', 'setuser', 'app', 'on', '>s3cret', '~*', '+@all', '-set');
fails('ACL without SET', $redis->url(user => 'app', password => 's3cret'), 'noperm',
	qr/can't run this command|ACL failure/, 'Allow the user of', 1);
fails('password', $redis->url(user => 'app', password => 'wr0ng'), 'auth', qr/WRONGPASS/, 'it does not accept the login');
mended('ACL', 'wtcache.url' => $redis->url);

# --- a server that says too much ------------------------------------------------

# Answers every handshake with an error
sub liar
{
	my ($text) = @_;
	my $listen = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 5) or die $!;
	my $pid = fork // die "fork: $!";

	if ($pid == 0)
	{
		while (my $c = $listen->accept)
		{
			sysread $c, my $all, 65536;
			syswrite $c, "-$text\r\n";
		}
		POSIX::_exit(0);
	}
	return ($pid, $listen->sockport);
}

foreach my $case (
	[ "ERR no key 'secretkey:1' with \"secretvalue\"", qr/^ERR no key '\.\.\.' with "\.\.\."$/m ],
	[ "ERR no 'set' command on 'O'Brien' s' here", qr/^ERR no 'set' command on '\.\.\.' here$/m ],
	[ "ERR odd \x01\xff\xc3\xa4\xe2\x82", qr/^ERR odd  \?ä\?\?$/m ],
	[ "ERR unknown command 'SET', with args beginning with: 'secretkey'", qr/^ERR unknown command 'SET'$/m,
		'unknown_command' ],
	[ 'ERR unknown user s3cret', qr/the error text contains the password/ ],
	[ 'ERR ' . "\xc3\xa4" x 100, qr/^ERR ä{77}$/m ])
{
	my ($text, $message, $class) = @$case;
	my ($pid, $port) = liar($text);
	(my $name = $text) =~ s/[^ -~]/?/g;

	use utf8;
	$node->reconfigure('wtcache.url' => "redis://:s3cret\@127.0.0.1:$port");
	$node->safe_psql('postgres', 'SELECT wtcache.stat_reset()');
	$class //= 'other';
	write_until("count > 0 FROM wtcache.stat_failure WHERE class = '$class'", "$name: counted");
	my $said = failure('message', $class);
	utf8::decode($said);
	utf8::decode(my $expected = "$message");
	like($said, qr/$expected/, "$name: what is shown");
	kill 'KILL', $pid;
	waitpid $pid, 0;
}
mended('liars', 'wtcache.url' => $redis->url);

# The server itself logs every setting that a reload changes.
my $log = slurp_file($node->logfile);
$log =~ s/^.*parameter "wtcache\.url" changed to .*$//mg;
unlike($log, qr/s3cret|wr0ng|secretkey|secretvalue|Brien/, 'no secrets in the log');

$node->stop;
done_testing;
