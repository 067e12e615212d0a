# A transaction of a million rows stays within a stated bound of memory, and
# leaves the cache colder, never wrong.

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
my $per_key = 120;                            # bytes
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

sub memory
{
	my ($what) = @_;
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^$what:\s+(\d+) kB/m;

	return $kb;
}

# Memory that a statement takes at most, beyond what the session had, in kB
sub peak
{
	my ($sql) = @_;

	append_to_file("/proc/$pid/clear_refs", '5');    # resets VmHWM
	my $before = memory('VmHWM');
	$s->query_safe($sql);
	return memory('VmHWM') - $before;
}

# Every key in Redis is as the row; the others are absent.
sub no_differences
{
	my ($name) = @_;
	my $held = Wtcache::Compare::contents($redis, 'items:*');
	my $n = keys %$held;
	my $file = $node->basedir . '/held';

	# The server compares, it has the rows.
	unlink $file;
	append_to_file($file, join '', map { "$_\t$held->{$_}\n" } keys %$held);
	my $wrong = $node->safe_psql('postgres', qq{
		CREATE TEMP TABLE held (key text, value text);
		\\copy held FROM '$file'
		SELECT count(*) FROM held LEFT JOIN items t
			ON id = split_part(key, ':', 2)::int
		WHERE value IS DISTINCT FROM row_to_json(t)::text});
	is($wrong, 0, "$name: all $n keys in Redis are current");
	return $n;
}

# Warm up: catalogs, the connection
$s->query_safe("INSERT INTO items SELECT -i, 0, 'x' FROM generate_series(1, 100) i");
is($redis->cli('exists', 'items:-100'), '1', 'at first');

sub bound { my ($n) = @_; return $batch_memory + $per_key * $n / 1024 + $constant; }

# Insert: images of some 100 bytes each, most of which do not fit
my %before = $node->stats;
my $kb = peak(qq{INSERT INTO items
	SELECT i, i % 100, repeat('v', 60) FROM generate_series(1, $rows) i});
my %after = $node->stats;

cmp_ok($kb, '<=', bound($rows), "insert: $kb kB at most");
is($after{pushes_ok} - $before{pushes_ok}, 1, 'insert: pushed within the timeout');
is($after{pushes_failed}, 0, 'insert: no failure');
my $dropped = $after{images_dropped} - $before{images_dropped};
cmp_ok($dropped, '>', $rows / 2, "insert: $dropped images dropped");
cmp_ok($dropped, '<', $rows, 'insert: ... but not all');
is( $after{sets} - $before{sets} + $after{deletes} - $before{deletes},
	$rows, 'insert: every row is accounted for');
is($after{stored} - $before{stored}, $rows - $dropped,
	'insert: the others are stored');
is(no_differences('insert'), $rows - $dropped + 100, 'insert: ... and there');
is($s->query_safe('SELECT count(*) FROM items'), $rows + 100, 'insert: committed');

# The memory is given back: the next large one stays within the same bound.
# Stored values that change and whose image is dropped must go.
$kb = peak('UPDATE items SET a = a + 1 WHERE id BETWEEN 1 AND 250000');
cmp_ok($kb, '<=', bound(250000), "update: $kb kB at most");
is($node->stat('pushes_failed'), '0', 'update: no failure');
my $n = no_differences('update');
cmp_ok($n, '<', $rows / 2, "update: $n keys held");

# Small ones are stored as ever.
$s->query_safe("UPDATE items SET v = 'small' WHERE id = 1");
is($redis->cli('get', 'items:1'), '{"id":1,"a":2,"v":"small"}', 'a small one');

# A large one that is rolled back leaves nothing.
my $pushes = $node->stat('pushes_ok');
$s->query_safe("BEGIN; UPDATE items SET v = 'no' WHERE id BETWEEN 1 AND 50000; ROLLBACK");
is($node->stat('pushes_ok'), $pushes, 'rolled back: no push');
is($redis->cli('get', 'items:1'), '{"id":1,"a":2,"v":"small"}', '... no change');
is($node->pid_of($s), $pid, 'all of it in one backend');

$s->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
