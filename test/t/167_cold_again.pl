# After the cache was emptied: when the server is healthy again, and that pg_upgrade
# leaves Redis alone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	conf => { 'wtcache.heal_window' => '0' });

$node->safe_psql('postgres', q{
	CREATE TABLE one (id int PRIMARY KEY, v text);
	CREATE TABLE two (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('one'), wtcache.attach('two');
	INSERT INTO one SELECT i, 'one' FROM generate_series(1, 10) i;
	INSERT INTO two SELECT i, 'two' FROM generate_series(1, 10) i;
	CREATE DATABASE other});
$node->safe_psql('other', 'CREATE EXTENSION wtcache');

sub healthy { return $node->status(q{healthy || ' ' || (cold_reason IS NOT NULL)}); }

# The cache is emptied: another system has written the position
my $cold = 0;

sub empty
{
	my ($name) = @_;

	$redis->cli('hset', 'wtcache:position', 'system', '1');
	$redis->cli('client', 'kill', 'type', 'normal', 'skipme', 'yes');
	$cold++;
	ok($node->poll_query_until('postgres', qq{
		SELECT cold_starts = $cold AND redis_open AND worker_state LIKE 'idle%'
		  FROM wtcache.stat, wtcache.status}), "$name: emptied");
	is(healthy(), 'false true', "$name: not healthy");
	return;
}

$redis->wait_for_beat($node);
is($node->safe_psql('postgres', 'SELECT wtcache.acknowledge()'), 'f', 'nothing to acknowledge');
is($node->status(q{healthy}), 't', 'healthy at first');

empty('warmed');
$node->safe_psql('postgres', q{CALL wtcache.warm('one')});
is(healthy(), 'false true', 'warmed: one of two');
$node->safe_psql('postgres', q{CALL wtcache.warm('two', condition => 'id < 5')});
is(healthy(), 'false true', 'warmed: a part of the other');
$node->safe_psql('postgres', q{CALL wtcache.warm('two')});
is(healthy(), 'true true', 'warmed: both, and the reason stays');
is($node->safe_psql('other', 'SELECT healthy FROM wtcache.status'), 'f',
	'warmed: a database without tables does not know');

empty('verified');
is(healthy(), 'false true', 'verified: what was warmed before does not count');
$node->safe_psql('postgres', q{CALL wtcache.warm('one')});
is($node->safe_psql('postgres', q{SELECT missing FROM wtcache.verify_summary('two')}), '10',
	'verified: rows are missing');
is(healthy(), 'false true', 'verified: so it is not healthy');
is($node->safe_psql('postgres', q{SELECT repaired FROM wtcache.verify_summary('two', repair => true)}),
	'10', 'verified: repaired');
$node->safe_psql('postgres', q{SELECT wtcache.wait()});
is($node->safe_psql('postgres', q{SELECT missing FROM wtcache.verify_summary('two')}), '0',
	'verified: none is missing');
is(healthy(), 'true true', 'verified: healthy');

empty('acknowledged');
is($node->safe_psql('postgres', 'SELECT wtcache.acknowledge()'), 't', 'acknowledged');
is(healthy(), 'true true', 'acknowledged: healthy');
is($node->safe_psql('other', 'SELECT healthy FROM wtcache.status'), 't', 'acknowledged: everywhere');
is($node->safe_psql('postgres', 'SELECT wtcache.acknowledge()'), 'f', 'acknowledged once');
empty('emptied again');

# --- pg_upgrade -----------------------------------------------------------------

$node->safe_psql('postgres', q{CALL wtcache.warm('one'); CALL wtcache.warm('two')});
$redis->wait_for_beat($node);
$node->stop;

my $new = Wtcache::Node->new('new');

$new->init;
$new->append_conf('postgresql.conf', "shared_preload_libraries = 'wtcache'\n"
	  . "wal_level = replica\nmax_replication_slots = 10\nwtcache.url = '" . $redis->url . "'\n");

sub content
{
	return join ' ', map { "$_=" . $redis->cli('dump', $_) } sort split /\n/, $redis->cli('keys', '*');
}

my $before = content();
my $connections = sub {
	return $redis->cli('info', 'stats') =~ /total_connections_received:(\d+)/ ? $1 : die;
};
my $bindir = $new->config_data('--bindir');
my $took = $connections->();

chdir $PostgreSQL::Test::Utils::tmp_check or die "chdir: $!";
command_ok([ 'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir,
		'-b', $bindir, '-B', $bindir, '-s', $new->host, '-p', $node->port, '-P', $new->port ],
	'pg_upgrade');
is($connections->() - $took, 1, 'pg_upgrade: only this test has talked to Redis');
is(content(), $before, 'pg_upgrade: Redis is as it was');
is_deeply([ glob $new->data_dir . '/pg_replslot/*' ], [], 'pg_upgrade: no slot');

$new->start;
ok($new->poll_query_until('postgres',
		q{SELECT redis_open AND worker_state LIKE 'idle%' FROM wtcache.status}), 'upgraded: open');
is($new->status('cold_reason'), 'Redis was written by another PostgreSQL server',
	'upgraded: the reason for a cold start');
is($new->status('healthy'), 'f', 'upgraded: cold');
$new->safe_psql('postgres', q{CALL wtcache.warm('one'); CALL wtcache.warm('two')});
is($new->status('healthy'), 't', 'upgraded: warmed');
is($redis->cli('get', 'one:7'), '{"id":7,"v":"one"}', 'upgraded: the content');
$new->stop;

done_testing;
