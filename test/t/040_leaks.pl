# Hundreds of failing pushes of each kind in one backend leave neither open
# files nor memory behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $rounds = 300;
my $warm_up = 20;
my $slack = 2048;    # kB; a leaked connection has a buffer of some kB
my $redis = Wtcache::Redis->new;
my $bad = Wtcache::BadRedis->new(upstream => $redis);
my $tcp = Wtcache::BadRedis->new(upstream => $redis, tcp => 1);
my $node = Wtcache::Node->start_new(
	'main',
	url => $bad->url,
	conf => {
		'wtcache.breaker_failures' => 0,
		'shared_buffers' => '1MB',
		'jit' => 'off'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	INSERT INTO items SELECT i, repeat('x', 500) FROM generate_series(1, 3) i;
	SELECT wtcache.attach('items', tags => ARRAY['all'])});

my $session = $node->session;
my $pid = $node->pid_of($session);

# Open files, kB of PostgreSQL's memory, kB of anonymous memory
sub usage
{
	# The server's own files it opens and closes as it sees fit.
	my @fds = grep { index($_, $node->data_dir) != 0 && $_ !~ m{^base/|^pg_} }
	  map { readlink($_) // () } glob "/proc/$pid/fd/*";
	my $contexts = $session->query_safe(
		'SELECT sum(total_bytes) / 1024 FROM pg_backend_memory_contexts');
	my ($rss) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+) kB/m;

	return (scalar @fds, int $contexts, $rss);
}

# One transaction each; several rows, so that there are several replies.
sub commits
{
	my ($n, $timeout) = @_;

	$session->query_safe(qq{
		SET wtcache.push_timeout = '$timeout';
		SET wtcache.connect_timeout = '$timeout';
		DO \$\$
		BEGIN
			FOR i IN 1..$n LOOP
				UPDATE items SET v = repeat('y', 500);
				COMMIT;
			END LOOP;
		END \$\$});
	return;
}

sub level
{
	my ($name, $class, %o) = @_;
	my $timeout = $class eq 'timeout' ? '30ms' : '30s';

	commits($warm_up, $timeout);
	my $failed = $node->stat("fail_$class");
	my $skipped = $node->stat('pushes_skipped');
	my ($fds, $contexts, $rss) = usage();

	commits($rounds, $timeout);
	my ($fds_after, $contexts_after, $rss_after) = usage();

	# The deadline may pass before the worker has set a new token.
	$failed = $node->stat("fail_$class") - $failed;
	$skipped = $node->stat('pushes_skipped') - $skipped;
	is($failed + ($class eq 'timeout' ? $skipped : 0),
		$rounds, "$name: all of them fail ($class)");
	cmp_ok($failed, '>=', $rounds / 10, "$name: not for want of trying");
	cmp_ok($fds_after, '<=', $fds + 1, "$name: open files");
	cmp_ok($contexts_after, '<=', $contexts + 64, "$name: memory contexts");
	cmp_ok($rss_after, '<=', $rss + $slack, "$name: memory");
	return;
}

# Successful ones first: they must not leak, either.
$bad->normal;
commits($warm_up, '30s');
my ($fds, $contexts, $rss) = usage();
commits(1000, '30s');
my @after = usage();
is($node->stat('pushes_failed'), '0', 'successful pushes');
is($after[0], $fds, 'successful pushes: open files');
cmp_ok($after[1], '<=', $contexts + 64, 'successful pushes: memory contexts');
cmp_ok($after[2], '<=', $rss + $slack, 'successful pushes: memory');

# Through the proxy, on both kinds of socket
my $garbage = "*10\r\n" . "\$5\r\nhello\r\n" x 9;    # an unfinished array

foreach my $case (
	[ $bad, 'closed', 'close_before' ],
	[ $bad, 'closed', 'close_mid' ],
	[ $tcp, 'closed', 'close_after' ],
	[ $tcp, 'closed', 'close_mid' ],
	[ $tcp, 'closed', 'close_before', at => 'connect', how => 'fin' ],
	[ $bad, 'closed', 'close_mid', at => 'request', match => 'EXEC' ],
	[ $bad, 'timeout', 'blackhole' ],
	[ $tcp, 'timeout', 'reply', text => $garbage ],
	[ $bad, 'timeout', 'huge' ],
	[ $bad, 'timeout', 'blackhole', at => 'connect' ],
	[ $bad, 'protocol', 'garbage' ],
	[ $bad, 'protocol', 'nested' ],
	[ $tcp, 'protocol', 'reply', text => "*10\r\n" . ":1\r\n" x 10 ],
	[ $bad, 'oom', 'error', text => 'OOM command not allowed' ],
	[ $bad, 'other', 'error', at => 'request', match => 'SCRIPT' ],
	[ $tcp, 'connect', 'refuse', drop => 1 ],
	[ $bad, 'connect', 'refuse', drop => 1 ])
{
	my ($proxy, $class, $mode, %o) = @$case;

	$_->normal foreach $bad, $tcp;
	$node->reconfigure('wtcache.url' => $proxy->url);
	$node->settle($session, 'wtcache.url' => $proxy->url);
	$proxy->mode($mode, who => 'backend', %o);
	# so that what happens at a connection's beginning does
	$proxy->drop;
	level(
		($proxy == $bad ? 'socket' : 'TCP') . ": $mode"
		  . ($o{at} ? " at $o{at}" : ''),
		$class);
}

# A real server that refuses
$node->reconfigure('wtcache.url' => $redis->url);
$node->settle($session, 'wtcache.url' => $redis->url);
$redis->cli('config', 'set', 'maxmemory', '1');
level('full', 'oom');
$redis->cli('config', 'set', 'maxmemory', '0');
$redis->cli('set', 'tag:all', 'a string');
level('wrong type', 'wrongtype');
$redis->cli('del', 'tag:all');

# Scripts flushed before every push: no failure, but more to send
my $failed = $node->stat('pushes_failed');
commits($warm_up, '30s');
my @before = usage();
foreach my $i (1 .. 30)
{
	$redis->cli('script', 'flush');
	commits(3, '30s');
}
@after = usage();
is($node->stat('pushes_failed'), $failed, 'scripts flushed: no failure');
is($after[0], $before[0], 'scripts flushed: open files');
cmp_ok($after[2], '<=', $before[2] + $slack, 'scripts flushed: memory');

# Transactions that roll back, and savepoints
sub roll_back
{
	my ($n) = @_;

	$session->query_safe(qq{
		DO \$\$
		BEGIN
			FOR i IN 1..$n LOOP
				BEGIN
					UPDATE items SET v = repeat('z', 1000);
					RAISE EXCEPTION 'back';
				EXCEPTION WHEN raise_exception THEN NULL;
				END;
				UPDATE items SET v = 'w';
				IF i % 2 = 0 THEN COMMIT; ELSE ROLLBACK; END IF;
			END LOOP;
		END \$\$});
	return;
}

roll_back(200);
@after = usage();
roll_back(2000);
my @later = usage();
cmp_ok($later[1], '<=', $after[1] + 64, 'rolled back: memory contexts');
cmp_ok($later[2], '<=', $after[2] + $slack, 'rolled back: memory');

# A giant image is not held on to.
$session->query_safe(
	"UPDATE items SET v = repeat('g', 30000000) WHERE id = 1");
$session->query_safe("UPDATE items SET v = 'small'");
@after = usage();
is($redis->cli('get', 'items:1'), '{"id":1,"v":"small"}', 'works');
cmp_ok($after[1], '<=', $later[1] + 2048, 'giant image: memory contexts');

is($node->pid_of($session), $pid, 'all of it in one backend');
$session->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
