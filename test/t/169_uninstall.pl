# Uninstalling as documented: no slot is left that keeps WAL.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url);

use constant SLOTS => q{SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'wtcache'};

sub slots
{
	my ($n, $name) = @_;

	return ok($node->poll_query_until('postgres', SLOTS, $n), $name);
}

sub install
{
	foreach my $db (@_)
	{
		$node->safe_psql($db, q{
			CREATE EXTENSION IF NOT EXISTS wtcache;
			CREATE TABLE IF NOT EXISTS items (id int PRIMARY KEY, v text);
			SELECT wtcache.attach('items', replace => true);
			INSERT INTO items VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET v = 'y'});
	}
	return;
}

# What DROP EXTENSION says to the user
sub drop_extension
{
	my ($db, $sql) = @_;
	my ($stdout, $stderr) = ('', '');

	$node->psql($db, $sql || 'DROP EXTENSION wtcache CASCADE', stdout => \$stdout, stderr => \$stderr);
	return $stderr;
}

$node->safe_psql('postgres', q{CREATE DATABASE other});
$node->safe_psql('postgres', q{ALTER DATABASE other SET wtcache.key_prefix = 'o:'});
install('postgres', 'other');
slots(1, 'there is a slot');
is($redis->cli('exists', 'items:1', 'o:items:1'), 2, 'rows are cached');

# --- DROP EXTENSION -----------------------------------------------------------------

my $log = $node->log_length;

unlike(drop_extension('postgres', 'BEGIN; DROP EXTENSION wtcache CASCADE; ROLLBACK'), qr/WARNING/,
	'rolled back');
$redis->wait_for_beat($node);
is($node->safe_psql('postgres', SLOTS), 1, 'rolled back: the slot stays');

unlike(drop_extension('postgres'), qr/WARNING/, 'dropped in one database');
slots(0, 'dropped in one database: no slot');
ok($node->logged(qr/LOG:  wtcache: replication slot "wtcache" dropped/, $log), '... says the log');
is($redis->cli('exists', 'items:1', 'o:items:1'), 1, '... its keys are deleted');
unlike($node->safe_psql('other', 'SELECT advice FROM wtcache.status'), qr/no replication slot/,
	'... which is no problem');
$node->safe_psql('other', q{UPDATE items SET v = 'z'});
slots(1, 'a change in the other one: there is one again');
is($redis->cli('get', 'o:items:1'), '{"id":1,"v":"z"}', '... and the row is cached');

unlike(drop_extension('other'), qr/WARNING/, 'dropped in the last one');
slots(0, 'dropped in the last one: no slot');

install('other');
slots(1, 'installed again');
$node->safe_psql('postgres', 'DROP DATABASE other');
slots(0, 'the database is dropped: no slot');

# --- Redis is away ------------------------------------------------------------------

install('postgres');
slots(1, 'Redis is away: there is a slot');
$redis->stop;
ok($node->poll_query_until('postgres', q{SELECT worker_state = 'waiting for Redis' FROM wtcache.status}),
	'Redis is away: the worker knows');
like(drop_extension('postgres'),
	qr/WARNING:  replication slot "wtcache" stays until Redis has been reached.*HINT: .*pg_drop_replication_slot\('wtcache'\)/s,
	'Redis is away: it is said');
is($node->safe_psql('postgres', SLOTS), 1, 'Redis is away: the slot stays');
$redis->start;
slots(0, 'Redis is back: no slot');

# --- the library goes first ------------------------------------------------------------

install('postgres');
slots(1, 'the library goes first: there is a slot');
$redis->wait_for_beat($node);
$node->set('shared_preload_libraries' => '');
$node->restart;
my ($stdout, $stderr) = ('', '');
$node->psql('postgres', q{UPDATE items SET v = 'a'}, stdout => \$stdout, stderr => \$stderr);
like($stderr, qr/ERROR:  wtcache must be loaded via.*HINT: .*DROP EXTENSION wtcache CASCADE.*pg_drop_replication_slot\('wtcache'\)/s,
	'the library goes first: a write says what to do');
$node->safe_psql('postgres', 'DROP EXTENSION wtcache CASCADE');
$node->safe_psql('postgres', q{UPDATE items SET v = 'b'});
is($node->safe_psql('postgres', SLOTS), 1, 'the library goes first: the slot stays');
$node->safe_psql('postgres', q{SELECT pg_drop_replication_slot('wtcache')});
is($node->safe_psql('postgres', SLOTS), 0, 'the library goes first: dropped by hand');

# --- the server's own limit ---------------------------------------------------------------

$node->set('shared_preload_libraries' => 'wtcache', 'max_slot_wal_keep_size' => '1MB', 'max_wal_size' => '32MB');
$node->restart;
install('postgres');
slots(1, 'a limit: there is a slot');
$redis->wait_for_beat($node);
$node->set('shared_preload_libraries' => '');
$node->restart;
$node->safe_psql('postgres', q{SELECT pg_logical_emit_message(false, 'x', 'x'), pg_switch_wal()}) foreach 1 .. 5;
$node->safe_psql('postgres', 'CHECKPOINT');
is($node->safe_psql('postgres', q{SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'wtcache'}),
	'lost', 'a limit: the server gives the slot up');
$node->set('shared_preload_libraries' => 'wtcache');
$node->restart;
ok($node->poll_query_until('postgres', q{SELECT wal_status <> 'lost' FROM pg_replication_slots WHERE slot_name = 'wtcache'}),
	'a limit: the worker makes it anew');

$node->stop;
done_testing;
