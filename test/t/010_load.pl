# Loading the library, dump and restore, dropping the extension.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->new('main');
my ($code, $out, $err);

# The keys that are not wtcache's own
sub keys_held
{
	return grep { !/^wtcache:/ } split /\n/, $redis->cli('--scan');
}

# FLUSHALL would be noticed, and mended from the log.
sub forget_all
{
	my @held = keys_held();

	$redis->cli('unlink', @held) if @held;
	return;
}

# Preloaded, but without room for the worker

$node->init;
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'wtcache'
max_worker_processes = 0});
is($node->start(fail_ok => 1), 0, 'no room for the worker: the server does not start');
like(slurp_file($node->logfile),
	qr/FATAL:  wtcache has no background worker\n.*DETAIL:.*"max_worker_processes" \(0\)/,
	'... and says why');
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = ''
max_worker_processes = 8});

# Not preloaded

$node->start;
foreach my $sql ('CREATE EXTENSION wtcache', "LOAD 'wtcache'")
{
	($code, $out, $err) = $node->psql('postgres', $sql);
	isnt($code, 0, "not preloaded: $sql");
	like(
		$err,
		qr/ERROR:  wtcache must be loaded via "shared_preload_libraries"/,
		'... with a clear error');
	like(
		$err,
		qr/HINT:  Add wtcache to "shared_preload_libraries" in postgresql.conf and restart the server\./,
		'... and a hint');
}
is($node->safe_psql('postgres', 'SELECT 1'), '1', 'the session goes on');

# Preloaded

$node->append_conf('postgresql.conf',
	"log_statement = none\nshared_preload_libraries = 'wtcache'\n");
$node->set('wtcache.url' => $redis->url);
$node->restart;
$node->safe_psql('postgres',
	'CREATE TABLE before (id int PRIMARY KEY); INSERT INTO before VALUES (1)');
is($node->safe_psql('postgres', 'TABLE before'),
	'1', 'preloaded without the extension: writes as ever');
is(join(' ', keys_held()), '', '... and nothing is cached');

$node->create_extension;
$node->safe_psql('postgres', q{
	CREATE SCHEMA shop;
	CREATE TABLE shop.items (id int PRIMARY KEY, category text, name text);
	CREATE TABLE parts (id int, kind text, PRIMARY KEY (id, kind))
		PARTITION BY LIST (kind);
	CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
	CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
	SELECT wtcache.attach('shop.items', ttl => '2 hours',
		tags => ARRAY['cat:{category}'], invalidates => ARRAY['list:{category}'],
		condition => $$name <> 'it''s hidden'$$, columns => '{id,name}');
	SELECT wtcache.attach('parts', format => 'hash')});
$node->safe_psql('postgres',
	"INSERT INTO shop.items VALUES (1, 'x', 'one'), (2, 'x', 'it''s hidden')");
is($redis->cli('get', 'items:1'),
	'{"id":1,"name":"one"}', 'preloaded: it works');
is($redis->cli('exists', 'items:2'), '0', '... with its condition');

# Dump and restore into another database

my $dump = $node->basedir . '/dump.sql';
my $before = $node->safe_psql('postgres',
	'SELECT * FROM wtcache.attachments ORDER BY relation::text');

like($before, qr/^shop\.items\|items:\{id\}\|02:00:00\|/m, 'attachments');
forget_all();
foreach my $format ('plain', 'custom')
{
	my $db = "copy_$format";

	# which gets the keys of the original
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql('postgres',
		"ALTER DATABASE postgres SET wtcache.key_prefix = 'original:'");
	$node->command_ok(
		[ 'pg_dump', '-F', $format, '-f', $dump, $node->connstr('postgres') ],
		"$format: dump");
	$node->command_ok(
		$format eq 'plain'
		? [
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $node->connstr($db)
		  ]
		: [ 'pg_restore', '--exit-on-error', '-d', $node->connstr($db), $dump ],
		"$format: restore");
	is(join(' ', keys_held()), '', "$format: restoring rows pushes nothing");
	is( $node->safe_psql(
			$db, 'SELECT * FROM wtcache.attachments ORDER BY relation::text'),
		$before,
		"$format: the attachments are there");

	$node->safe_psql($db, q{
		UPDATE shop.items SET name = 'uno' WHERE id = 1;
		INSERT INTO shop.items VALUES (3, 'y', 'three');
		INSERT INTO parts VALUES (1, 'a'), (2, 'b')});
	is($redis->cli('get', 'items:1'),
		'{"id":1,"name":"uno"}', "$format: row trigger, UPDATE");
	is($redis->cli('get', 'items:3'),
		'{"id":3,"name":"three"}', "$format: row trigger, INSERT");
	is($redis->cli('smembers', 'tag:cat:y'), 'items:3', "$format: tag");
	is($redis->cli('hget', 'parts:2:b', 'id'),
		'2', "$format: row trigger of a partition");
	$node->safe_psql($db, 'CREATE TABLE parts_c PARTITION OF parts'
		  . " FOR VALUES IN ('c')");
	$node->safe_psql($db, "INSERT INTO parts VALUES (3, 'c')");
	is($redis->cli('hget', 'parts:3:c', 'kind'),
		'c', "$format: row trigger of a new partition");
	$node->safe_psql($db, 'TRUNCATE parts_b');
	is($redis->cli('exists', 'parts:2:b'),
		'0', "$format: TRUNCATE of a partition");
	is($redis->cli('exists', 'parts:1:a', 'parts:3:c'),
		'2', "$format: ... and of no other");
	$node->safe_psql($db, 'TRUNCATE parts; TRUNCATE shop.items');
	is( $redis->cli(
			'exists', 'parts:1:a', 'parts:3:c', 'items:1', 'items:3'),
		'0',
		"$format: TRUNCATE");
	$node->safe_psql($db, "ALTER DATABASE $db SET wtcache.key_prefix = '$db:'");
	forget_all();
}
$node->safe_psql('postgres', "ALTER DATABASE postgres SET wtcache.key_prefix = ''");

# DROP EXTENSION

($code, $out, $err) = $node->psql('postgres', 'DROP EXTENSION wtcache');
isnt($code, 0, 'DROP EXTENSION with attached tables fails');
like(
	$err,
	qr/cannot drop extension wtcache because other objects depend on it/,
	'... with an error');
like(
	$err,
	qr/trigger wtcache_capture on table shop\.items depends on function/,
	'... which names the trigger');
like($err, qr/HINT:  Use DROP \.\.\. CASCADE/, '... and a hint');

# A session that has pushed goes on after the extension is dropped.
my $session = $node->session;
$session->query_safe("UPDATE shop.items SET name = 'I' WHERE id = 1");
is($redis->cli('get', 'items:1'), '{"id":1,"name":"I"}', 'before the drop');
$node->safe_psql('postgres', 'DROP EXTENSION wtcache CASCADE');
is( $node->safe_psql(
		'postgres', "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'wtcache'"),
	'0',
	'no triggers left');
$session->query_safe("UPDATE shop.items SET name = 'II' WHERE id = 1");
is($session->query_safe('SELECT name FROM shop.items WHERE id = 1'),
	'II', 'the table is as any other');
is($redis->cli('get', 'items:1'), '', '... not attached, and its keys are gone');

$node->create_extension;
is( $node->safe_psql('postgres', 'SELECT count(*) FROM wtcache.attachments'),
	'0',
	'created again, nothing is attached');
$node->safe_psql('postgres', "SELECT wtcache.attach('shop.items')");
$session->query_safe("UPDATE shop.items SET name = 'III' WHERE id = 1");
is( $redis->cli('get', 'items:1'),
	'{"id":1,"category":"x","name":"III"}',
	'attached again');
$node->safe_psql('postgres', "SELECT wtcache.detach('shop.items')");
$node->safe_psql('postgres', 'DROP EXTENSION wtcache CASCADE');
$session->query_safe("UPDATE shop.items SET name = 'IV' WHERE id = 1");
is($session->query_safe('SELECT name FROM shop.items WHERE id = 1'),
	'IV', 'detached and dropped');
$session->quit;

# A server that is started with an invalid URL uses none, not the default one.

$node->set('wtcache.url' => 'rediss:/nowhere', wal_level => 'replica');
$node->restart;
is($node->safe_psql('postgres', 'SHOW wtcache.url'), '', 'no URL in place of an invalid one');
like(slurp_file($node->logfile), qr/WARNING:  invalid value for parameter "wtcache\.url"/,
	'... with a warning');
$node->create_extension;
is( $node->safe_psql('postgres', 'SELECT endpoint IS NULL, healthy FROM wtcache.status'),
	't|f', '... which the status tells');
$node->reconfigure('wtcache.url' => $redis->url);
$node->safe_psql('postgres', "SELECT wtcache.attach('before'); INSERT INTO before VALUES (2)");
is($redis->cli('get', 'before:2'), '{"id":2}', '... until a reload brings a valid one');

# Uninstalled as the manual has it

$node->safe_psql('postgres', 'DROP EXTENSION wtcache CASCADE');
is($redis->cli('get', 'before:2'), '', 'uninstalling: the keys go with the extension');
ok($node->poll_query_until('postgres', q{
		SELECT count(*) = 0 FROM pg_replication_slots WHERE slot_name = 'wtcache'}),
	'... and the slot');
$node->set('shared_preload_libraries' => '');
$node->restart;
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'), 0,
	'... which does not come back without the library');
$node->stop;

done_testing;
