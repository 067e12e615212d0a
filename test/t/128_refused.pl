# What Redis does not take, and what is too large to be offered to it: its key
# is deleted, the write succeeds, and everything else goes on.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url);
my $s = $node->session;

$node->safe_psql('postgres', q{
	CREATE TABLE big (id int PRIMARY KEY, v text);
	CREATE TABLE other (id int PRIMARY KEY, v text);
	CREATE TABLE doc (id int PRIMARY KEY, v jsonb);
	CREATE TABLE num (id int PRIMARY KEY, v numeric[]);
	CREATE TABLE digits (id int PRIMARY KEY, v numeric[], w numeric);
	CREATE TYPE pair AS (a numeric, b numeric);
	CREATE DOMAIN amount AS numeric;
	CREATE TABLE odd (id int PRIMARY KEY, r numrange, m nummultirange, p pair[],
		d amount[], b bytea, n int[]);
	CREATE TABLE odd_hash (LIKE odd INCLUDING ALL);
	SELECT wtcache.attach('big');
	SELECT wtcache.attach('other', tags => '{o}', invalidates => ARRAY['list:{id}']);
	SELECT wtcache.attach('doc');
	SELECT wtcache.attach('num');
	SELECT wtcache.attach('digits', tags => ARRAY['d:{v}'], invalidates => ARRAY['w:{v}']);
	SELECT wtcache.attach('odd');
	SELECT wtcache.attach('odd_hash', format => 'hash')});

sub wait_all
{
	my ($name) = @_;

	is($s->query_safe(q{SELECT wtcache.wait('60s')}), 't', "$name: all is there");
	return;
}

sub rejected
{
	return $node->safe_psql('postgres',
		'SELECT database, key, relation, class, message FROM wtcache.rejected ORDER BY key');
}

sub counted
{
	my ($counter, $change) = @_;
	my $before = $node->stat($counter);

	$change->();
	return $node->stat($counter) - $before;
}

# --- limits of Redis ----------------------------------------------------------

# A row of 3 MB, then another table, in each mode
sub goes_on
{
	my ($name, $message) = @_;

	foreach my $mode (qw(async write_through))
	{
		my %before = $node->stats;

		$s->query_safe(q{
			RESET wtcache.mode;
			INSERT INTO big VALUES (1, 'old') ON CONFLICT (id) DO UPDATE SET v = 'old'});
		like($redis->cli('get', 'big:1'), qr/old/, "$name, $mode: at first");
		$s->query_safe("SET wtcache.mode = $mode");
		$s->query_safe(q{UPDATE big SET v = repeat('x', 3000000)});
		$s->query_safe("INSERT INTO other VALUES (1, '$name $mode')
			ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v");
		wait_all("$name, $mode");
		like($redis->cli('get', 'other:1'), qr/$name $mode/, "$name, $mode: the other row");
		is($redis->cli('exists', 'big:1'), 0, "$name, $mode: the key is deleted");
		is(rejected(), "postgres|big:1|big|closed|$message", "$name, $mode: listed");
		my %after = $node->stats;
		is($after{rejected} - $before{rejected}, 1, "$name, $mode: counted");
		is($after{pushes_skipped} - $before{pushes_skipped}, 0,
			"$name, $mode: no outage");
	}
	$s->query_safe(q{RESET wtcache.mode; UPDATE big SET v = 'small'});
	like($redis->cli('get', 'big:1'), qr/small/, "$name: stored again");
	is(rejected(), '', "$name: not listed any more");
	return;
}

$node->reconfigure('wtcache.breaker_failures' => 1);
$redis->cli('config', 'set', 'proto-max-bulk-len', '1mb');
goes_on('bulk length', 'ERR Protocol error: invalid bulk length');
$redis->cli('config', 'set', 'proto-max-bulk-len', '512mb');
$redis->cli('config', 'set', 'client-query-buffer-limit', '1mb');
goes_on('query buffer', '');

# several of them, and what is in order between them
$s->query_safe(q{
	SET wtcache.mode = async;
	BEGIN;
	INSERT INTO big SELECT i, repeat('x', CASE WHEN i % 10 = 0 THEN 2000000 ELSE 100000 END)
	  FROM generate_series(11, 50) i;
	COMMIT});
wait_all('several');
is($node->safe_psql('postgres', q{SELECT string_agg(key, ' ' ORDER BY key) FROM wtcache.rejected}),
	'big:20 big:30 big:40 big:50', 'several: listed');
is(scalar(grep { $redis->cli('exists', "big:$_") } 11 .. 50), 36, 'several: the others');
$s->query_safe('RESET wtcache.mode; DELETE FROM big WHERE id > 1');
is(rejected(), '', 'several: nothing is missing of rows that are gone');
$redis->cli('config', 'set', 'client-query-buffer-limit', '1gb');

# a large row goes by progress, for the commit as for the worker
$node->reconfigure('wtcache.push_timeout' => '10ms');
foreach my $mode (qw(async write_through))
{
	$s->query_safe(qq{SET wtcache.max_image_size = '64MB'; SET wtcache.batch_memory = '512MB';
		SET wtcache.mode = $mode;
		INSERT INTO big VALUES (60, repeat('$mode ', 60000000 / length('$mode ')))
		ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v});
	wait_all("60 MB, $mode");
	cmp_ok($redis->cli('strlen', 'big:60'), '>', 59_900_000, "60 MB, $mode: stored");
	like($redis->cli('getrange', 'big:60', 0, 40), qr/$mode/, "60 MB, $mode: this one");
}
is(rejected(), '', '60 MB: not refused');
$node->reconfigure('wtcache.push_timeout' => '2s');
$s->query_safe('RESET ALL; SET client_min_messages = error');

# --- what is not answered ------------------------------------------------------

# A small row among many, for which the connection is closed, or no answer comes
my $bad = Wtcache::BadRedis->new(upstream => $redis);

$s->query_safe(q{DELETE FROM big; DELETE FROM other;
	INSERT INTO other SELECT i, 'old' FROM generate_series(1, 400) i});
$node->reconfigure('wtcache.url' => $bad->url, 'wtcache.push_timeout' => '300ms');
$s->quit;
$s = $node->session;
foreach my $mode ('async', 'write_through')
{
	my ($how, $class) = $mode eq 'async' ? ('close_before', 'closed') : ('blackhole', 'timeout');

	$s->query_safe(q{UPDATE other SET v = 'old'});
	wait_all("$how, before");
	$bad->mode($how, match => '"id":77,"v":"new');
	$s->query_safe("SET wtcache.mode = $mode; UPDATE other SET v = 'new $how'");
	wait_all($how);
	is(rejected(), "postgres|other:77|other|$class|", "$how: found and listed");
	is($redis->cli('exists', 'other:77'), 0, "$how: its key is deleted");
	is(scalar(grep { $redis->cli('get', "other:$_") =~ /"new $how"/ } 1 .. 400),
		399, "$how: the others");
	$bad->normal;
	$s->query_safe('RESET wtcache.mode');
}
$s->query_safe(q{UPDATE other SET v = 'old'});
wait_all('answered again');
is(rejected(), '', 'answered again: nothing is listed');
$node->reconfigure('wtcache.url' => $redis->url, 'wtcache.push_timeout' => '2s');
$s->quit;
$s = $node->session;

# --- what is not allowed ---------------------------------------------------------

sub forbid
{
	$redis->cli('acl', 'setuser', 'default', 'resetkeys', '~wtcache:*', '~big:*', @_);
	return;
}

sub allow { return $redis->cli('acl', 'setuser', 'default', '~*'); }

$s->query_safe(q{DELETE FROM other; INSERT INTO other SELECT i, 'old' FROM generate_series(1, 400) i});
foreach my $mode (qw(async write_through))
{
	forbid('~other:[1-9]', '~other:[1-9]?', '~other:[13]??', '~other:2[1-9]?',
		'~other:20[1-9]', '~other:400', '~tag:o', '~tag:list:[1-9]', '~tag:list:[1-9]?',
		'~tag:list:[124]??', '~tag:list:3[1-9]?', '~tag:list:30[1-9]');
	$s->query_safe("SET wtcache.mode = $mode");
	is(counted('rejected', sub {
			$s->query_safe("UPDATE other SET v = '$mode'");
			wait_all("forbidden, $mode") }),
		1, "forbidden, $mode: one key");
	allow();
	is($node->safe_psql('postgres', q{
			SELECT key, relation, class, message LIKE '%key%' FROM wtcache.rejected ORDER BY key}),
		"other:200|other|noperm|t", "forbidden, $mode: listed");
	is(scalar(grep { $redis->cli('get', "other:$_") !~ /"$mode"/ } 1 .. 400),
		1, "forbidden, $mode: the others");
}
$s->query_safe('RESET wtcache.mode; SELECT wtcache.stat_reset()');
is(rejected(), '', 'emptied with the statistics');

# there is an end to the list; each of the keys costs several requests
forbid('~tag:*');
$s->query_safe(q{SET wtcache.push_timeout = '60s'});
is(counted('not_in_rejected', sub { $s->query_safe(q{UPDATE other SET v = 'none'}) }),
	400 - 256, 'too many to be listed');
is($node->safe_psql('postgres', 'SELECT count(*) FROM wtcache.rejected'), 256, 'listed');
allow();
$s->query_safe(q{UPDATE other SET v = 'all'});
wait_all('at the end');
is(rejected(), '', 'none is left');

# --- what is too large to be made ----------------------------------------------------

# A row whose key was there; its key is deleted, in little memory
sub too_large
{
	my ($name, $key, $sql) = @_;
	my $kb;

	is($redis->cli('exists', $key), 1, "$name: at first");
	is(counted('too_large', sub { $kb = $node->peak_memory($s, $sql) }), 1, "$name: counted");
	is($redis->cli('exists', $key), 0, "$name: deleted");
	cmp_ok($kb, '<', 64 * 1024, "$name: in little memory");
	return;
}

my $huge = "array_fill(1e100000::numeric, ARRAY[11000])";

$s->query_safe(q{
	INSERT INTO doc VALUES (1, '[1]');
	INSERT INTO num VALUES (1, '{1}');
	INSERT INTO big VALUES (2, 'x');
	INSERT INTO odd SELECT i FROM generate_series(1, 10) i;
	INSERT INTO odd_hash SELECT i, '[1,2)' FROM generate_series(1, 10) i});
$s->query_safe(q{
	CREATE TABLE source AS
	SELECT ('[' || repeat('1e100000, ', 5499) || '1e100000]')::jsonb AS v});
too_large('jsonb', 'doc:1', 'UPDATE doc SET v = source.v FROM source');
too_large('numeric array', 'num:1', "UPDATE num SET v = $huge");
too_large('text', 'big:2', q{UPDATE big SET v = repeat('x', 17000000) WHERE id = 2});
foreach my $table (qw(odd odd_hash))
{
	my $id = 0;
	my %values = (
		r => q{numrange(-1e130000, 1e130000)},
		m => q{(SELECT range_agg(numrange(i * 1e100000, i * 1e100000 + 1)) FROM generate_series(1, 10) i)},
		p => q{array_fill(ROW(1e100000, 1)::pair, ARRAY[11000])},
		d => "$huge\::amount[]",
		b => q{decode(repeat('ab', 9000000), 'hex')},
		n => q{array_fill(NULL::int, ARRAY[30000000])});

	foreach my $column (sort keys %values)
	{
		$id++;
		$s->query_safe(q{SET wtcache.max_image_size = '200kB'}) if $column =~ /[rm]/;
		too_large("$table.$column", "$table:$id",
			"UPDATE $table SET $column = $values{$column} WHERE id = $id");
		$s->query_safe('RESET wtcache.max_image_size');
	}
}

# what is stored in more bytes than its text has is bounded by what it takes
$s->query_safe(q{UPDATE odd SET n = array_fill(1, ARRAY[3000000]) WHERE id = 10});
cmp_ok($redis->cli('strlen', 'odd:10'), '>', 6_000_000, 'many small numbers: stored');
is($node->safe_psql('postgres', q{SELECT count(*) FROM wtcache.verify('num')}), 0,
	'verify() does not expect them');

# what would be a name too long for anything is none
$s->query_safe(q{INSERT INTO digits VALUES (1, '{1}'), (2, '{2}')});
is($redis->cli('exists', 'digits:1', 'digits:2'), 2, 'names: at first');
$s->query_safe("UPDATE digits SET v = $huge WHERE id = 1");
is($redis->cli('exists', 'digits:1', 'digits:2'), 1, 'names: deleted');
$s->query_safe("DELETE FROM digits WHERE id = 1");
is($s->query_safe('SELECT count(*) FROM digits'), 1, 'names: and written');

# above the default a text may be too long to be made
$s->query_safe(q{SET wtcache.max_image_size = '512MB'; SET wtcache.batch_memory = '512MB'});
$s->query_safe(q{INSERT INTO big VALUES (3, 'x')});
is(counted('too_large', sub {
		$s->query_safe(q{UPDATE big SET v = repeat(E'\x01', 200000000) WHERE id = 3}) }),
	1, 'escapes: counted');
is($redis->cli('exists', 'big:3'), 0, 'escapes: deleted');
is($s->query_safe('SELECT length(v) FROM big WHERE id = 3'), 200000000,
	'escapes: written');

is($redis->cli('exists', 'other:1'), 1, 'everything else is there');
$node->stop;
done_testing();
