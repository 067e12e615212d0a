# wtcache.mode = async: commits do not wait for Redis, and nothing that was
# committed durably is lost.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => { 'wtcache.push_timeout' => '5s', fsync => 'on' });

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('item');
	INSERT INTO item SELECT i, 'initial' FROM generate_series(1, 200) i});

sub run { return $node->safe_psql('postgres', $_[0]); }

sub agrees
{
	my ($name) = @_;

	is(run(q{SELECT wtcache.wait('60s')}), 't', "$name: all pushed");
	my @differences = Wtcache::Compare::differences($node, $redis, 'item', 'id');
	is_deeply(\@differences, [], "$name: Redis agrees with the table");
	return;
}

my $s = $node->session;

$s->query_safe(q{SET wtcache.mode = async});

# It comes by itself, without wait().
$s->query_safe(q{UPDATE item SET v = 'async' WHERE id = 1});
ok($redis->poll_for([ 'get', 'item:1' ], qr/async/, 30), 'comes by itself');
agrees('one');

# So it does when the commit has not been flushed.
$s->query_safe(q{SET synchronous_commit = off});
$s->query_safe(q{UPDATE item SET v = 'unflushed' WHERE id = 1});
ok($redis->poll_for([ 'get', 'item:1' ], qr/unflushed/, 30),
	'unflushed: comes by itself');
agrees('unflushed');
$s->query_safe(q{RESET synchronous_commit});

# Commits do not wait.
$redis->pause;
my $begun = time;
$s->query_safe("UPDATE item SET v = 'not waited for' WHERE id = $_")
  foreach 1 .. 20;
cmp_ok(time - $begun, '<', 4, 'no commit waits for a Redis that hangs');
is(run(q{SELECT wtcache.wait('200ms')}), 'f', 'wait() does, as long as it may');
is(run(q{SELECT wtcache.wait('0')}), 'f', 'or only has a look');
$redis->resume;
agrees('not waited for');

# Rolled back
$s->query_safe(q{BEGIN; UPDATE item SET v = 'undone'; ROLLBACK});
agrees('rolled back');
$s->query_safe(q{BEGIN; UPDATE item SET v = 'kept' WHERE id = 1; SAVEPOINT a;
	UPDATE item SET v = 'undone'; ROLLBACK TO a; COMMIT});
agrees('rolled back to a savepoint');

# wait() from one session waits for what another one has committed, also for
# one that is just pushing.
$node->begin_query($s, q{SET wtcache.mode = write_through;
	SET wtcache.debug_hold_push = on; UPDATE item SET v = 'held' WHERE id = 7});
$node->poll_query_until('postgres',
	q{SELECT v = 'held' FROM item WHERE id = 7});
is(run(q{SELECT wtcache.wait('300ms')}), 'f', 'wait() waits for a push');
ok($node->release_pushes, 'released');
agrees('held');
$s->query_safe(q{RESET wtcache.debug_hold_push; SET wtcache.mode = async});

# ... but not for a large one that is still running.
my $t = $node->session;
$t->query_safe(q{SET wtcache.batch_memory = '64kB'; BEGIN;
	UPDATE item SET v = repeat('x', 2000) WHERE id > 100});
is($node->status('in_flight'), 1, 'a large one has its mark');
agrees('beside a large one');
is($t->query_safe(q{SELECT wtcache.wait('5s')}), 't', 'nor for its own');
$t->query_safe('COMMIT');
agrees('after the large one');
$t->quit;

# Many at once, each with its own way
my @sessions = map { $node->session } 1 .. 4;
my $n = 0;
foreach my $session (@sessions)
{
	my $mode = (qw(async write_through))[ $n++ % 2 ];

	$node->begin_query($session, qq{SET wtcache.mode = $mode;
		SET synchronous_commit = } . ($n > 2 ? 'off' : 'on') . qq{;
		DO \$\$ BEGIN FOR i IN 1 .. 500 LOOP
			UPDATE item SET v = '$n/' || i WHERE id = 1 + i % 50; COMMIT;
		END LOOP; END \$\$});
}
$_->query_safe('SELECT 1') foreach @sessions;
agrees('many');
$_->quit foreach @sessions;

# A crash: what was committed and flushed is replayed, the rest is in neither.
foreach my $round (1 .. 3)
{
	my $session = $node->session;

	$session->query_safe(q{SET wtcache.mode = async;
		SET synchronous_commit = } . ($round == 2 ? 'off' : 'on'));
	$redis->pause if $round == 3;
	$session->query_safe(qq{UPDATE item SET v = 'crash $round/$_' WHERE id = $_})
	  foreach 1 .. 50;
	$node->stop('immediate');
	$session->quit;
	$redis->resume if $round == 3;
	$node->start;
	agrees("crash $round");
	is(run(qq{SELECT count(*) FROM item WHERE v LIKE 'crash $round/%'}), 50,
		"crash $round: all committed") if $round != 2;
}

$s->quit;
$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');
done_testing();
