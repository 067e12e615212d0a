# Prepared transactions: the cache follows COMMIT PREPARED, from whatever
# session and after whatever restart, and knows nothing of ROLLBACK PREPARED.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => { max_prepared_transactions => 50, 'wtcache.push_timeout' => '10s' });

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text, tag text);
	SELECT wtcache.attach('item', tags => ARRAY['{tag}']);
	INSERT INTO item SELECT i, 'initial', 'red' FROM generate_series(1, 100) i});

sub run { return $node->safe_psql('postgres', $_[0]); }

sub wait_all
{
	my ($name) = @_;

	return is(run(q{SELECT wtcache.wait('60s')}), 't', "$name: all pushed");
}

# After a restart the worker may yet have to begin.
sub agrees
{
	my ($name) = @_;

	wait_all($name);
	my @differences = Wtcache::Compare::differences($node, $redis, 'item', 'id');
	is_deeply(\@differences, [], "$name: Redis agrees with the table");
	return;
}

sub in_redis
{
	my ($id) = @_;
	my $json = $redis->cli('get', "item:$id");

	return $json =~ /"v": ?"(.*?)"/ ? $1 : $json;
}

sub prepare
{
	my ($gid, $sql) = @_;

	return run("BEGIN; $sql; PREPARE TRANSACTION '$gid'");
}

# Reading one's own write, at once and from another session than the first
foreach my $i (1 .. 20)
{
	prepare('own', "UPDATE item SET v = 'own $i' WHERE id = 1");
	run(q{COMMIT PREPARED 'own'});
	my $got = in_redis(1);
	if ($got ne "own $i")
	{
		is($got, "own $i", 'own write after COMMIT PREPARED');
		last;
	}
	pass('own write after COMMIT PREPARED') if $i == 20;
}
is($node->status('in_flight'), 0, 'no mark is left');

# Nothing before the commit, and nothing of what was rolled back
prepare('undone', q{UPDATE item SET v = 'undone' WHERE id <= 10;
	DELETE FROM item WHERE id = 11; INSERT INTO item VALUES (101, 'undone')});
wait_all('prepared');
is(in_redis(2), 'initial', 'prepared: not pushed');
is($redis->cli('exists', 'item:11', 'item:101'), 1, 'prepared: nor deleted');
run(q{ROLLBACK PREPARED 'undone'});
agrees('ROLLBACK PREPARED');

# Others go on, for long: it is prepared while a thousand commit
prepare('long', q{UPDATE item SET v = 'long' WHERE id BETWEEN 1 AND 5});
run(q{DO $$ BEGIN FOR i IN 1 .. 1000 LOOP
	UPDATE item SET v = 'other ' || i WHERE id = 10 + i % 80; COMMIT;
	END LOOP; END $$});
run(q{CHECKPOINT});
run(q{SELECT pg_switch_wal()}) foreach 1 .. 3;
run(q{UPDATE item SET v = 'after' WHERE id = 50});
run(q{CHECKPOINT});
is(in_redis(1), 'own 20', 'long: not yet');
run(q{COMMIT PREPARED 'long'});
is(in_redis(1), 'long', 'long: own write');
agrees('long');

# Several at once, committed in another order, one of them never
prepare("many$_", "UPDATE item SET v = 'many $_' WHERE id = $_") foreach 1 .. 30;
run("COMMIT PREPARED 'many$_'") foreach reverse 2 .. 30;
is(in_redis(30), 'many 30', 'many: 30');
is(in_redis(2), 'many 2', 'many: 2');
is(in_redis(1), 'long', 'many: 1 is still open');
run(q{ROLLBACK PREPARED 'many1'});
agrees('many');

# Tags and explicit operations
prepare('tag', q{SELECT wtcache.invalidate_tags('red');
	UPDATE item SET tag = 'blue', v = 'blue' WHERE id = 3});
is($redis->cli('exists', 'item:3', 'item:4'), 2, 'tag: not yet');
run(q{COMMIT PREPARED 'tag'});
is($redis->cli('exists', 'item:4'), 0, 'tag: item:4');
is(in_redis(3), 'blue', 'tag: item:3');
is($redis->cli('sismember', 'tag:red', 'item:3'), 0, 'tag: left');
is($redis->cli('sismember', 'tag:blue', 'item:3'), 1, 'tag: entered');
run(q{UPDATE item SET v = 'again'});
agrees('tag');

# Across restarts
foreach my $mode (qw(fast immediate))
{
	prepare("c_$mode", "UPDATE item SET v = 'committed $mode' WHERE id = 1");
	prepare("r_$mode", "UPDATE item SET v = 'undone' WHERE id = 2");
	prepare("o_$mode", "DELETE FROM item WHERE id = 3");
	# One whose commit comes just before
	prepare("b_$mode", "UPDATE item SET v = 'before $mode' WHERE id = 4");
	run("COMMIT PREPARED 'b_$mode'");
	$node->stop($mode);
	$node->start;
	wait_all($mode);
	is(in_redis(4), "before $mode", "$mode: committed before");
	isnt(in_redis(1), "committed $mode", "$mode: not yet");
	is($redis->cli('exists', 'item:3'), 1, "$mode: nor deleted");
	run("COMMIT PREPARED 'c_$mode'; ");
	run("ROLLBACK PREPARED 'r_$mode'");
	wait_all($mode);
	is(in_redis(1), "committed $mode", "$mode: committed after");
	run("COMMIT PREPARED 'o_$mode'");
	wait_all($mode);
	is($redis->cli('exists', 'item:3'), 0, "$mode: deleted");
	run(q{INSERT INTO item VALUES (3, 'back', 'red')});
	agrees($mode);
}

# A large one, which has written messages on the way
{
	my $s = $node->session;

	$s->query_safe(q{SET wtcache.batch_memory = '64kB'; BEGIN});
	$s->query_safe(q{UPDATE item SET v = repeat('x', 2000) WHERE id > 10});
	$s->query_safe(q{SAVEPOINT a; UPDATE item SET v = repeat('y', 2000)});
	$s->query_safe(q{ROLLBACK TO a; UPDATE item SET v = 'last' WHERE id > 90});
	is($node->status('in_flight'), 1, 'large: a mark while it runs');
	$s->query_safe(q{PREPARE TRANSACTION 'large'});
	is($node->status('in_flight'), 0, 'large: none when it is prepared');
	$s->quit;
}
wait_all('large');
unlike(in_redis(11), qr/^[xy]/, 'large: not yet');
$node->stop('immediate');
$node->start;
wait_all('large, restarted');
unlike(in_redis(11), qr/^[xy]/, 'large: not yet');
run(q{COMMIT PREPARED 'large'});
like(in_redis(11), qr/^x/, 'large: own write');
agrees('large');

# With Redis away COMMIT PREPARED does not wait for long, and all comes later, to
# whatever Redis is there then.
prepare('away', q{UPDATE item SET v = 'away' WHERE id = 5});
$redis->cli('save');
$redis->stop;
{
	my $begun = time;

	run(q{COMMIT PREPARED 'away'});
	cmp_ok(time - $begun, '<', 15, 'away: bounded');
}
$redis->start;
wait_all('away');
is(in_redis(5), 'away', 'away: pushed later');
prepare('empty', q{UPDATE item SET v = 'empty' WHERE id = 5});
$redis->restart;
run(q{COMMIT PREPARED 'empty'});
wait_all('empty');
is(in_redis(5), 'empty', 'empty: pushed to a Redis that has lost all else');
run(q{UPDATE item SET v = 'warm'});
agrees('warm');

# A cancel while it waits is no error: the transaction is committed.
prepare('cancel', q{UPDATE item SET v = 'cancelled' WHERE id = 6});
$redis->pause;
{
	my $s = $node->session;
	my $pid = $node->pid_of($s);

	$s->query_safe(q{SET statement_timeout = '500ms'});
	$s->query_safe(q{COMMIT PREPARED 'cancel'});
	pass('cancel: no error from statement_timeout');
	$redis->resume;
	is($s->query_safe('SELECT v FROM item WHERE id = 6'), 'cancelled',
		'cancel: committed');
	prepare('cancel', q{UPDATE item SET v = 'cancelled 2' WHERE id = 6});
	$redis->pause;
	$node->begin_query($s, q{COMMIT PREPARED 'cancel'});
	$node->poll_query_until('postgres',
		q{SELECT NOT EXISTS (SELECT FROM pg_prepared_xacts)});
	run("SELECT pg_cancel_backend($pid)");
	is($s->query_safe('SELECT v FROM item WHERE id = 6'), 'cancelled 2',
		'cancel: the session goes on');
	$redis->resume;
	$s->quit;
}
ok($redis->poll_for([ 'get', 'item:6' ], qr/cancelled 2/),
	'cancel: pushed all the same');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');
done_testing();
