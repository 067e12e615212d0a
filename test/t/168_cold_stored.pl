# Emptying the cache takes what wtcache has stored, all of it, and nothing else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new('enable-debug-command' => 'yes');
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	conf => { 'wtcache.heal_window' => '0' });

sub sql { return $node->safe_psql('postgres', $_[0]); }

# Of an application: all would be deleted by the pattern *
my @foreign = ('item', 'item;1', 'session:1', 'user:1:session', 'shop:item:1', 'a-b-c', 'set:77', 'tags:x');

sub add_foreign
{
	$redis->cli('set', $_, 'mine', 'ex', 9999) foreach @foreign;
	$redis->cli('hset', 'session:2', 'f', 'mine');
	$redis->cli('expire', 'session:2', 9999);
	return;
}

sub keys_but
{
	my ($but) = @_;

	return join ' ', grep { !/$but/ } sort split /\n/, $redis->cli('keys', '*');
}

sub emptied
{
	my ($name, @left) = @_;
	my $before = $node->stat('cold_starts');

	@left = (@foreign, 'session:2') unless @left;
	$redis->wait_for_beat($node);
	$redis->cli('hset', 'wtcache:position', 'system', '1');
	$redis->cli('client', 'kill', 'type', 'normal', 'skipme', 'yes');
	ok($node->poll_query_until('postgres', qq{
		SELECT cold_starts > $before AND redis_open AND worker_state LIKE 'idle%'
		  FROM wtcache.stat, wtcache.status}), "$name: emptied");
	is(keys_but(qr/^wtcache:/), join(' ', sort @left), "$name: nothing else");
	is(keys_but(qr/^(?!wtcache:)/), 'wtcache:patterns wtcache:position wtcache:token',
		"$name: nor anything of its own");
	is($redis->cli('sismember', 'wtcache:patterns', ''), 1, "$name: patterns are complete");
	is(patterns(), '', "$name: and none is left") unless $left[0] eq 'immortal';
	return;
}

sub patterns { return join ' ', grep { $_ ne '' } sort split /\n/, $redis->cli('smembers', 'wtcache:patterns'); }

# --- what has been stored, in all ways ------------------------------------------

sql(q{
	CREATE DATABASE other;
	CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C';
	ALTER DATABASE other SET wtcache.key_prefix = 'o*:';
	ALTER DATABASE latin SET wtcache.key_prefix = 'l:';
	CREATE TABLE item (id int PRIMARY KEY, v text);
	CREATE TABLE users (id int PRIMARY KEY, v text);
	CREATE TABLE pair (a text, b text, PRIMARY KEY (a, b));
	CREATE TABLE odd (id int PRIMARY KEY);
	CREATE TABLE kept (id int PRIMARY KEY);
	CREATE TABLE warmed (id int PRIMARY KEY);
	SELECT wtcache.attach('item', tags => '{"kind:{v}",all}'),
	       wtcache.attach('users', key => 'user:{id}:profile', format => 'hash'),
	       wtcache.attach('pair', key => 'pair/{a}-{b}'),
	       wtcache.attach('odd', key => 'a[b]?*\\{id}^'),
	       wtcache.attach('kept')});
$node->safe_psql('other', q{
	CREATE EXTENSION wtcache;
	CREATE TABLE item (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('item', tags => '{all}')});
$node->safe_psql('latin', qq{
	SET client_encoding = 'UTF8';
	CREATE EXTENSION wtcache;
	CREATE TABLE "cl\xc3\xa9" (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('"cl\xc3\xa9"', tags => '{"\xc3\xa9{id}"}')});

sub store
{
	sql(q{
		INSERT INTO item SELECT i, 'v' || i % 3 FROM generate_series(1, 2000) i;
		INSERT INTO users VALUES (1, 'x'), (2, 'y');
		INSERT INTO pair VALUES ('*', '?'), ('', 'x'), ('{}', '-');
		INSERT INTO odd VALUES (1);
		SELECT wtcache.set('set:' || i, '1', tags => '{all,mine}') FROM generate_series(1, 1500) i WHERE i <> 77;
		SELECT wtcache.set('bare', '1')});
	$node->safe_psql('other', q{INSERT INTO item VALUES (1, 'x'); SELECT wtcache.set('bare', '1')});
	$node->safe_psql('latin', qq{SET client_encoding = 'UTF8'; INSERT INTO "cl\xc3\xa9" VALUES (1, 'x')});
	return;
}

sub stored
{
	my ($name) = @_;

	is($redis->cli('exists', 'item:1', 'item:2000', 'user:2:profile', 'pair/*-?', 'pair/-x', 'a[b]?*\\1^',
			'set:1', 'set:1500', 'bare', 'o*:item:1', 'o*:bare', "l:cl\xc3\xa9:1", 'tag:all', 'tag:kind:v1',
			'tag:mine', 'o*:tag:all', "l:tag:\xc3\xa9" . '1'), 17, "$name: stored");
	return;
}

sub unstore
{
	sql('SET wtcache.enabled = off; DELETE FROM item; DELETE FROM users; DELETE FROM pair; DELETE FROM odd');
	$node->safe_psql('other', 'DELETE FROM item');
	$node->safe_psql('latin', qq{SET client_encoding = 'UTF8'; DELETE FROM "cl\xc3\xa9"});
	return;
}

add_foreign();
store();
stored('pushed');
is($redis->cli('scard', 'wtcache:values'), 1501, 'a member for each that set() has stored');
is($redis->cli('ttl', 'wtcache:values'), -1, 'which no eviction takes');
emptied('pushed');

unstore();
$node->reconfigure('wtcache.mode' => 'async');
store();
sql('SELECT wtcache.wait()');
stored('replayed');
emptied('replayed');
$node->reconfigure('wtcache.mode' => 'write_through');

sql(q{CALL wtcache.warm('item'); CALL wtcache.warm('users'); SELECT wtcache.wait()});
is($redis->cli('exists', 'item:1', 'user:1:profile'), 2, 'warmed: stored');
emptied('warmed');

# --- templates that are there no more -----------------------------------------

sql(q{
	INSERT INTO kept VALUES (1), (2);
	SELECT wtcache.detach('kept', drop_keys => false);
	UPDATE kept SET id = 3 WHERE id = 2;
	UPDATE item SET v = 'w' WHERE id < 10;
	SELECT wtcache.detach('item', drop_keys => false);
	DROP TABLE item;
	BEGIN;
	INSERT INTO odd VALUES (5);
	SELECT wtcache.alter('odd', key => 'other:{id}');
	COMMIT;
	INSERT INTO odd VALUES (6)});
$node->safe_psql('other', q{
	INSERT INTO item VALUES (2, 'x');
	SELECT wtcache.detach('item', drop_keys => false);
	DROP EXTENSION wtcache CASCADE});
is($redis->cli('exists', 'kept:1', 'kept:2', 'item:1', 'item:9', 'o*:item:2', 'other:6'), 6,
	'templates: stored, and stale');
sql('DROP DATABASE other');
emptied('templates');

# --- patterns, and Redis that forgets them --------------------------------------

my $session = $node->session;
my $forgetful = sub {
	my ($name, $forget) = @_;

	# the connection has told them
	$session->query_safe(q{INSERT INTO users VALUES (10, 'x'); UPDATE users SET v = 'y' WHERE id = 10});
	is(patterns(), 'user:*:profile', "$name: told");
	$forget->();
	$session->query_safe(q{UPDATE users SET v = 'z' WHERE id = 10});
	is($redis->cli('hget', 'user:10:profile', 'v'), 'z', "$name: stored");
	add_foreign();
	emptied($name);
	$session->query_safe('DELETE FROM users WHERE id = 10');
};

$forgetful->('emptied by hand', sub { $redis->cli('flushall') });
$forgetful->('connections lost', sub { $redis->cli('client', 'kill', 'type', 'normal', 'skipme', 'yes') });
$redis->cli('save');
$forgetful->('put back', sub { $redis->cli('debug', 'reload', 'nosave') });
$session->quit;

# Without the set it is not known what was stored: all goes that has a time to live
sub doubt
{
	my ($name, $doubt) = @_;

	sql(q{UPDATE users SET v = v});
	add_foreign();
	$redis->cli('set', 'immortal', 'mine');
	$doubt->();
	emptied($name, 'immortal');
	$redis->cli('del', 'immortal');
	return;
}

doubt('the set is gone', sub { $redis->cli('del', 'wtcache:patterns') });
doubt('it has been begun anew', sub {
	$redis->cli('del', 'wtcache:patterns');
	sql(q{SELECT wtcache.alter('users', key => 'user:{id}:face'); UPDATE users SET v = v});
	is(patterns(), 'user:*:face', 'one pattern');
});
$redis->cli('set', 'wtcache:patterns', 'x');
$redis->cli('set', 'wtcache:values', 'x');
sql(q{SELECT wtcache.set('bare', '1'); UPDATE users SET v = v; SELECT wtcache.wait()});
doubt('something else', sub { });
sql(q{SELECT wtcache.set('bare', '1'); UPDATE users SET v = v});
add_foreign();
is($redis->cli('exists', 'bare', 'user:1:face'), 2, 'something else: stored again');
emptied('something else, over');

# More than a connection remembers
sql(q{
	DO $$ BEGIN
		FOR i IN 1 .. 100 LOOP
			EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY)', i);
			PERFORM wtcache.attach(format('many_%s', i)::regclass);
			EXECUTE format('INSERT INTO many_%s VALUES (1)', i);
		END LOOP;
	END $$});
is(scalar(split / /, patterns()), 100, 'many: a pattern for each');
emptied('many');

# A Redis that has lost token and position is not one that was emptied: the server
# may have been killed before it pushed its last commits.
sql(q{UPDATE users SET v = 'last'});
add_foreign();
$redis->wait_for_beat($node);
$node->stop('immediate');
$redis->cli('del', 'wtcache:token', 'wtcache:position');
$node->start;
ok($node->poll_query_until('postgres', q{
		SELECT cold_starts = 1 AND redis_open AND cold_reason ~ 'lost the position'
		  FROM wtcache.stat, wtcache.status}), 'both are gone: emptied');
is(keys_but(qr/^wtcache:/), join(' ', sort @foreign, 'session:2'), 'both are gone: nothing else');

# What is named is deleted instead
sql(q{UPDATE users SET v = v; SELECT wtcache.set('bare', '1')});
$node->reconfigure('wtcache.cold_pattern' => 's*');
my $before = $node->stat('cold_starts');

$redis->wait_for_beat($node);
$redis->cli('hset', 'wtcache:position', 'system', '1');
$redis->cli('client', 'kill', 'type', 'normal', 'skipme', 'yes');
ok($node->poll_query_until('postgres',
		qq{SELECT cold_starts > $before AND redis_open FROM wtcache.stat, wtcache.status}), 'cold_pattern: emptied');
is($redis->cli('exists', 'session:1', 'session:2', 'bare'), 0, 'cold_pattern: what it matches, and what set() stored');
is($redis->cli('exists', 'user:1:face', 'item;1'), 2, 'cold_pattern: nothing else');
$node->reconfigure('wtcache.cold_pattern' => '');
add_foreign();
emptied('cold_pattern: back to the default');

# --- what has expired is not kept in the set -----------------------------------------

sql(q{SELECT count(wtcache.set('short:' || i, '1', '20 ms')) FROM generate_series(1, 3000) i});
ok($redis->poll_for([ 'scard', 'wtcache:values' ], '0'), 'expired values leave the set');

$node->stop;
done_testing;
