# A server that has just been started meets a Redis that knows nothing, for it
# was emptied meanwhile: what was prepared before is pushed all the same.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'max_prepared_transactions' => 10,
		'autovacuum' => 'off'
	});

$node->safe_psql('postgres', q{
	CREATE TABLE items (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('items', tags => ARRAY['all']);
	INSERT INTO items VALUES (1, 'old'), (2, 'old')});
$node->safe_psql('postgres', q{
	BEGIN;
	UPDATE items SET v = 'prepared' WHERE id = 1;
	SELECT wtcache.invalidate_tags('all');
	PREPARE TRANSACTION 'before'});
$node->stop;
$redis->cli('FLUSHALL');
$node->start;

$node->safe_psql('postgres', q{UPDATE items SET v = 'new' WHERE id = 2});
ok($redis->poll_for('EXISTS items:2', '1', 10), 'a row is stored');
$node->safe_psql('postgres', q{COMMIT PREPARED 'before'});
ok($redis->poll_for('EXISTS items:1', '1', 10),
	'what was prepared is stored');
like($redis->cli('GET', 'items:1'), qr/prepared/, 'its value');
ok($redis->poll_for('EXISTS items:2', '0', 10),
	'and the invalidation has reached what was stored before its commit');

done_testing();
