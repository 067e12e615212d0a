# Dead members of a tag's set stay in proportion to what lives, however rows are
# written, and go when nothing is written any more.

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
my $s = $node->session;

$node->safe_psql('postgres', q{
	CREATE TABLE items (id bigserial PRIMARY KEY, v text);
	SELECT wtcache.attach('items', ttl => '1 second', tags => '{all}')});
# the set lives, whatever becomes of the others
$s->query_safe(q{SELECT wtcache.set('keeper', '1', '1 hour', '{all}')});

# Insert rows, and wait until they have expired.
sub insert
{
	my ($n) = @_;

	$s->query_safe("INSERT INTO items (v) SELECT 'x' FROM generate_series(1, $n)");
	return;
}

sub expired
{
	my ($id) = $s->query_safe('SELECT max(id) FROM items');

	$redis->poll_for([ 'exists', "items:$id" ], 0) or die 'it does not expire';
	return;
}

sub members { return $redis->cli('scard', 'tag:all'); }

# 2,000 rows at a time, with the worker stopped: by the pushes alone
$node->pause_worker;
foreach (1 .. 10)
{
	insert(2000);
	cmp_ok(members(), '<', 3 * 2000, "statement $_: no more dead than twice the living");
	expired();
}

# one by one, each in a session of its own
my $before = members();
my $script = $node->basedir . '/insert.sql';

append_to_file($script, "INSERT INTO items (v) VALUES ('x');\n");
$node->command_ok([ 'pgbench', '-n', '-C', '-t', 600, '-f', $script, 'postgres' ],
	'sessions of one row');
expired();
cmp_ok(members(), '<', $before, 'more dead than living are taken out');
$node->resume_worker;

# at once, and then nothing: the worker sees to it
insert(2000) foreach 1 .. 5;
ok($redis->poll_for([ 'scard', 'tag:all' ], 1), 'all dead members are gone')
  or diag(members());
is($redis->cli('sismember', 'tag:all', 'keeper'), 1, '... and no other');

# what the worker cannot read holds nothing up
$redis->cli('del', 'tag:all');
insert(2000);
expired();
$redis->cli('del', 'tag:all');
$redis->cli('set', 'tag:all', 'no set');
$redis->wait_for_beat($node);
$redis->cli('del', 'tag:all');
$s->query_safe(q{SELECT wtcache.set('at last', '1', '1 hour', '{all}')});
is($redis->cli('smembers', 'tag:all'), 'at last', 'everything goes on');

$node->stop;
done_testing();
