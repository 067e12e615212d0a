# pg_dump and pg_restore, as they are used: over the database that was dumped and
# into an empty server, with --clean, in one transaction, in parallel, with
# --disable-triggers, and by a role that is no superuser.  Each of them ends without
# an error, with the same attachments, which capture what is written then.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url);
my $dir = $node->basedir;

# A database without partitions and one with: what pg_dump --clean writes of the
# indexes of partitions PostgreSQL itself refuses to drop.
$node->safe_psql('postgres', q{
	CREATE ROLE app LOGIN;
	CREATE DATABASE prod;
	CREATE DATABASE parted;
	ALTER DATABASE parted SET wtcache.key_prefix = 'parted:'});
foreach my $db ('prod', 'parted')
{
	$node->safe_psql($db, q{
		CREATE EXTENSION wtcache;
		CREATE SCHEMA app AUTHORIZATION app;
		GRANT EXECUTE ON FUNCTION wtcache.attach, wtcache.attach_document, wtcache.attach_part TO app;
		SET ROLE app;
		CREATE FUNCTION app.good(int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
		CREATE TABLE app.plain (id int PRIMARY KEY, v text);
		CREATE TABLE app."O""dd 's" (id int PRIMARY KEY, "V v" text);
		CREATE TABLE app.always (id int PRIMARY KEY, plain int REFERENCES app.plain);
		CREATE TABLE app.disabled (id int PRIMARY KEY);
		CREATE TABLE app.renamed (id int PRIMARY KEY);
		SELECT wtcache.attach('app.plain', condition => 'app.good(id)', ttl => '1 day');
		SELECT wtcache.attach('app."O""dd ''s"', key => 'o''d\\d:{id}', tags => '{"{V v}"}', columns => '{id,"\"a=b\"=V v","n=(id + 1)"}',
			shape => '{text_numbers}', version => 'V v', envelope => 'versioned');
		SELECT wtcache.attach('app.always', always => true, format => 'hash');
		SELECT wtcache.attach('app.disabled', condition => 'id < 0 OR app.good(id)'), wtcache.attach('app.renamed');
		SELECT wtcache.attach_document('Do"c', 'app.plain', $$
			SELECT jsonb_build_object('v', p.v, 'always', (SELECT count(*) FROM app.always WHERE plain = p.id)) FROM app.plain p WHERE id = $1 GROUP BY id
			$$, key => 'doc:{id}', tags => '{"v:{v}"}', ttl => '2 days');
		SELECT wtcache.attach_part('Do"c', 'app.always', 'plain');
		SET client_min_messages = error;
		ALTER TABLE app.disabled DISABLE TRIGGER wtcache_capture;
		-- now it sorts before the other one
		ALTER TRIGGER wtcache_capture ON app.renamed RENAME TO a;
		INSERT INTO app.plain SELECT i, 'v' FROM generate_series(1, 9) i;
		INSERT INTO app.always SELECT i, i FROM generate_series(1, 9) i});
}
$node->safe_psql('parted', q{
	SET ROLE app;
	CREATE TABLE app.parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
	CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (100);
	CREATE TABLE app.parts_2 PARTITION OF app.parts FOR VALUES FROM (100) TO (200)
		PARTITION BY RANGE (id);
	CREATE TABLE app.parts_2a PARTITION OF app.parts_2 FOR VALUES FROM (100) TO (200);
	CREATE TABLE app.off (LIKE app.parts INCLUDING ALL) PARTITION BY RANGE (id);
	CREATE TABLE app.off_1 PARTITION OF app.off FOR VALUES FROM (0) TO (100);
	SELECT wtcache.attach('app.parts', always => true, condition => $$v < 'w'$$), wtcache.attach('app.off');
	INSERT INTO app.parts VALUES (1, 'v'), (101, 'v');
	SET client_min_messages = error;
	ALTER TABLE app.off DISABLE TRIGGER ALL});

# All that there is of attachments, or of those that some tables have
sub attachments
{
	my ($server, $db, $tables) = @_;

	return $server->safe_psql($db, q{
		SELECT tgrelid::regclass, tgname, tgenabled, tgtype, tgparentid <> 0, encode(tgargs, 'escape'),
			regexp_replace(pg_get_triggerdef(oid), '^.* WHEN', 'WHEN')
		  FROM pg_trigger
		 WHERE tgfoid IN ('wtcache.capture_row'::regproc, 'wtcache.capture_truncate'::regproc, 'wtcache.capture_condition'::regproc,
			'wtcache.capture_document'::regproc, 'wtcache.capture_part'::regproc, 'wtcache.capture_document_truncate'::regproc)
		   AND tgrelid::regclass::text ~ '} . ($tables // '') . q{'
		 ORDER BY tgrelid::regclass::text, tgname;
		SELECT * FROM wtcache.documents;
		SELECT * FROM wtcache.attachments
		 WHERE relation::text ~ '} . ($tables // '') . q{' ORDER BY relation::text});
}

my %attachments = map { $_ => attachments($node, $_) } 'prod', 'parted';
like($attachments{parted}, qr/app\.parts_2a\|wtcache_capture\|A\|/, 'there are attachments');

my $round = 0;

# They are the same, and capture.
sub check
{
	my ($server, $cache, $db, $how) = @_;

	is(attachments($server, $db), $attachments{$db}, "$how: the same attachments");
	$round++;
	$server->safe_psql($db, qq{
		SET ROLE app;
		INSERT INTO app.plain VALUES (9, 'x') ON CONFLICT DO NOTHING;
		INSERT INTO app.plain VALUES (0, 'not good') ON CONFLICT DO NOTHING;
		UPDATE app.plain SET v = 'round $round';
		INSERT INTO app.disabled VALUES ($round) ON CONFLICT DO NOTHING});
	is( $cache->cli('mget', 'plain:9', 'plain:0', "disabled:$round", 'doc:9'),
		qq({"id":9,"v":"round $round"}\n\n\n{"v": "round $round", "always": 1}), "$how: they capture");
	$server->safe_psql($db, 'TRUNCATE app.plain, app.always');
	is($cache->cli('exists', 'plain:9', 'doc:9'), 0, "$how: TRUNCATE, too");
	return;
}

sub dump_of
{
	my ($db, $file, @options) = @_;

	$node->command_ok([ 'pg_dump', '--no-sync', @options, '-f', "$dir/$file", $db ],
		"pg_dump @options $db");
	return;
}

dump_of('prod', 'all.sql', '--clean');
dump_of('prod', 'if_exists.sql', '--clean', '--if-exists');
dump_of('prod', 'plain.sql');
dump_of('prod', 'all.dump', '-Fc');
dump_of('prod', 'app.dump', '-Fc', '-n', 'app');
dump_of('prod', 'all.dir', '-Fd', '-j', '2');
dump_of('parted', 'parted.dump', '-Fc');
dump_of('parted', 'parted.dir', '-Fd');

my $sql = slurp_file("$dir/all.sql");
unlike($sql, qr/SCHEMA wtcache/, 'the schema of the extension is not dumped');
like($sql, qr/ WHEN \(\s*CASE\s+WHEN false THEN app\.good\(old\.id\)/, 'conditions are dumped as expressions');
# It is this that has to be restored: both triggers are dropped, in either order.
like($sql, qr/TRIGGER wtcache_capture_truncate ON app\.plain;.*DROP TRIGGER wtcache_capture ON app\.plain;/s,
	'the TRUNCATE trigger is dropped before the row trigger');
like($sql, qr/TRIGGER wtcache_capture_truncate ON app\.renamed;.*DROP TRIGGER a ON app\.renamed;/s,
	'... also when that is called otherwise');

# Over the database that was dumped
my @psql = ('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'prod', '-f');
my @restore = ('pg_restore', '--exit-on-error', '-d');

sub told
{
	return join(' ', map { s/^\Q$dir\E\///r } @_);
}

foreach my $how (
	[ @psql, "$dir/all.sql" ],
	[ @psql, "$dir/all.sql", '-1' ],
	[ @psql, "$dir/if_exists.sql", '-1' ],
	[ @restore, 'prod', '--clean', '-1', "$dir/all.dump" ],
	[ @restore, 'prod', '--clean', "$dir/all.dump" ],
	[ @restore, 'prod', '--clean', '--if-exists', '-1', "$dir/all.dump" ],
	[ @restore, 'prod', '--clean', '-j', '2', "$dir/all.dir" ],
	[ @restore, 'prod', '--clean', '--if-exists', '-j', '4', "$dir/all.dir" ])
{
	$node->command_ok($how, told(@$how));
	check($node, $redis, 'prod', told(@$how));
}

# By a role that may attach its own tables, and no more
$node->safe_psql('prod', q{
	GRANT EXECUTE ON FUNCTION wtcache.attach, wtcache.attach_document TO app;
	GRANT CREATE ON DATABASE prod TO app});
foreach my $how (
	[ @restore, 'prod', '--clean', '--role=app', '-1', "$dir/app.dump" ],
	[ @restore, 'prod', '--clean', '--role=app', '-j', '2', "$dir/app.dump" ])
{
	$node->command_ok($how, told(@$how));
	check($node, $redis, 'prod', told(@$how));
}

# The triggers alone, of partitions as well
my $list = "$dir/triggers.list";

$node->command_ok([ 'pg_restore', '-l', '-f', "$list.all", "$dir/parted.dump" ], 'listed');
append_to_file($list, join("\n", grep { / TRIGGER / && !/EVENT/ } split /\n/, slurp_file("$list.all")) . "\n");
foreach my $how ([ '-1' ], [ '--if-exists' ], [ '-j', '3' ])
{
	my @how = (@restore, 'parted', '--clean', @$how, '-L', $list, "$dir/parted.dump");

	$node->command_ok(\@how, told(@how));
	is(attachments($node, 'parted'), $attachments{parted}, told(@how) . ': the same attachments');
}

# Into an empty database
$node->safe_psql('postgres', 'DROP DATABASE prod');
$node->safe_psql('postgres', 'CREATE DATABASE prod');
$node->command_ok([ @psql, "$dir/plain.sql", '-1' ], 'into an empty database');
check($node, $redis, 'prod', 'into an empty database');

# The data alone, into attached tables.  Triggers are disabled and enabled again:
# they fire when they did.
my $same = '^app.(always|plain|renamed|parts)';
my $expected = attachments($node, 'parted', $same);

foreach my $jobs (1, 2)
{
	my $how = "--data-only --disable-triggers -j $jobs";

	$node->safe_psql('parted', 'TRUNCATE app.plain, app.always, app.disabled, app.parts');
	$node->command_ok([ @restore, 'parted', '--data-only', '--disable-triggers', '-j', $jobs, "$dir/parted.dump" ],
		$how);
	is(attachments($node, 'parted', $same), $expected, "$how: the same attachments");
	$node->safe_psql('parted', q{
		SET session_replication_role = replica;
		UPDATE app.always SET id = id + 100;
		UPDATE app.parts SET v = CASE id WHEN 1 THEN 'replica' ELSE 'x' END});
	is( join(' ', $redis->cli('hget', 'parted:always:101', 'id'), $redis->cli('get', 'parted:parts:1'),
			$redis->cli('exists', 'parted:parts:101')),
		'101 {"id":1,"v":"replica"} 0', "$how: replicated changes are captured");
}

# As Rails' fixtures do it
$node->safe_psql('parted', q{
	BEGIN;
	ALTER TABLE app.always DISABLE TRIGGER ALL; ALTER TABLE app.plain DISABLE TRIGGER ALL;
	DELETE FROM app.always; INSERT INTO app.always VALUES (7, 7);
	ALTER TABLE app.always ENABLE TRIGGER ALL; ALTER TABLE app.plain ENABLE TRIGGER ALL;
	COMMIT});
is(attachments($node, 'parted', $same), $expected, 'fixtures: the same attachments');
is($redis->cli('exists', 'parted:always:101', 'parted:always:7'), 0, 'fixtures: nothing stale');

# Into an empty server
foreach my $how (
	[ 'prod', '-1', "$dir/all.dump" ],
	[ 'prod', '--clean', '--if-exists', '--create', "$dir/all.dump" ],
	[ 'parted', '-j', '3', "$dir/parted.dir" ])
{
	my ($db, @options) = @$how;
	my $cache = Wtcache::Redis->new;
	my $other = Wtcache::Node->start_new("other_$round", url => $cache->url, extension => 0);
	my $name = 'into an empty server: ' . told(@$how);
	my $create = grep { $_ eq '--create' } @options;

	$other->safe_psql('postgres', 'CREATE ROLE app');
	$other->safe_psql('postgres', "CREATE DATABASE $db") unless $create;
	$other->command_ok([ @restore, $create ? 'postgres' : $db, @options ], $name);
	$other->poll_query_until($db, 'SELECT redis_open FROM wtcache.status');
	check($other, $cache, $db, $name);
	$other->stop;
}

$node->stop;
done_testing();
