# A transaction of a million rows stays within a stated bound of memory that
# does not depend on their number, and gets into the cache as a whole.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $rows = 1_000_000;
my $batch_memory = 64 * 1024;                 # kB
my $constant = 64 * 1024;                     # kB
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'shared_buffers' => '16MB',
		'max_wal_size' => '4GB',
		'autovacuum' => 'off',
		'jit' => 'off',
		'wtcache.push_timeout' => '60s',
		'wtcache.batch_memory' => '64MB'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, a int, v text);
	SELECT wtcache.attach('items')});

my $s = $node->session;
my $pid = $node->pid_of($s);

# Every row is in Redis, and nothing else is.
sub no_differences
{
	my ($name) = @_;
	my ($wrong, $keys) =
	  Wtcache::Compare::count_differences($node, $redis, 'items', 'id');

	is($wrong, 0, "$name: all $keys keys in Redis are current");
	return;
}

# Warm up: catalogs, the connection
$s->query_safe("INSERT INTO items SELECT -i, 0, 'x' FROM generate_series(1, 100) i");
is($redis->cli('exists', 'items:-100'), '1', 'at first');

my $bound = $batch_memory + $constant;

# Insert: images of some 100 bytes each, most of which do not fit
my %before = $node->stats;
my $kb = $node->peak_memory($s, qq{INSERT INTO items
	SELECT i, i % 100, repeat('v', 60) FROM generate_series(1, $rows) i});
my %after = $node->stats;

cmp_ok($kb, '<=', $bound, "insert: $kb kB at most");
is($after{pushes_failed}, 0, 'insert: no failure');
is($after{pushes_ok}, $before{pushes_ok}, 'insert: left to the worker');
my $spilled = $after{spilled} - $before{spilled};
cmp_ok($spilled, '>', $rows / 2, "insert: $spilled operations spilled");
cmp_ok($spilled, '<=', $rows, 'insert: ... and none twice');
is($node->safe_psql('postgres', q{SELECT wtcache.wait('120s')}), 't',
	'insert: pushed');
no_differences('insert');
is($s->query_safe('SELECT count(*) FROM items'), $rows + 100, 'insert: committed');

# The memory is given back: the next large one stays within the same bound.
$kb = $node->peak_memory($s, 'UPDATE items SET a = a + 1 WHERE id BETWEEN 1 AND 500000');
cmp_ok($kb, '<=', $bound, "update: $kb kB at most");
is($node->safe_psql('postgres', q{SELECT wtcache.wait('120s')}), 't',
	'update: pushed');
is($node->stat('pushes_failed'), '0', 'update: no failure');
no_differences('update');

# One that just fits is pushed by the backend, within the bound as well.
my $pushed = $node->stat('pushes_ok');
$kb = $node->peak_memory($s, 'UPDATE items SET a = a + 1 WHERE id BETWEEN 1 AND 100000');
cmp_ok($kb, '<=', $bound, "pushed: $kb kB at most");
is($node->stat('pushes_ok'), $pushed + 1, 'pushed: by the backend');
no_differences('pushed');

# Small ones are stored as ever.
$s->query_safe("UPDATE items SET v = 'small' WHERE id = 1");
is($redis->cli('get', 'items:1'), '{"id":1,"a":3,"v":"small"}', 'a small one');

# A large one that is rolled back leaves nothing.
my $pushes = $node->stat('pushes_ok');
$s->query_safe("BEGIN; UPDATE items SET v = 'no' WHERE id BETWEEN 1 AND 500000; ROLLBACK");
is($node->stat('pushes_ok'), $pushes, 'rolled back: no push');
is($redis->cli('get', 'items:1'), '{"id":1,"a":3,"v":"small"}', '... no change');
is($node->pid_of($s), $pid, 'all of it in one backend');

$s->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
