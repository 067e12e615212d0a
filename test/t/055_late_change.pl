# Changes that come after wtcache has written the transaction's batch, from
# another extension's PRE_COMMIT callback.  test/modules/late_writer is such an
# extension; it is built here and loaded from where it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $module = "$FindBin::RealBin/../modules/late_writer";

{
	# The variables of the make that runs this test are not for this one.
	delete local @ENV{ grep { /^(MAKE|MFLAGS)/ } keys %ENV };
	my ($out, $err);
	IPC::Run::run([ 'make', '-C', $module, 'PG_CONFIG=pg_config' ],
		'>', \$out, '2>', \$err)
	  or die "could not build late_writer: $err";
}
my ($lib) = grep { -e } map { "$module/late_writer.$_" } qw(so dylib);

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		shared_preload_libraries => "$lib,wtcache",
		max_prepared_transactions => 5
	});

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text, tag text);
	CREATE TABLE plain (id int);
	INSERT INTO item SELECT i, 'initial', 'red' FROM generate_series(1, 9) i;
	SELECT wtcache.attach('item', tags => ARRAY['{tag}']);
	CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		UPDATE item SET v = 'by trigger' WHERE id = NEW.id;
		RETURN NULL;
	END $$;
	CREATE TRIGGER again AFTER UPDATE ON item FOR EACH ROW
		WHEN (NEW.v = 'trigger') EXECUTE FUNCTION again()});

sub in_redis
{
	my ($id) = @_;
	my $json = $redis->cli('get', "item:$id");

	return $json =~ /"v": ?"(.*?)"/ ? $1 : $json;
}

# Every row and every key, afresh
sub reset_rows
{
	$node->safe_psql('postgres', q{
		DELETE FROM item;
		INSERT INTO item SELECT i, 'initial', 'red' FROM generate_series(1, 9) i});
	return;
}

# Run statements in a transaction that ends with $late.
sub with_late
{
	my ($late, $sql) = @_;

	return $node->psql('postgres',
		"BEGIN; SET LOCAL late_writer.sql = \$late\$$late\$late\$; $sql; COMMIT");
}

# Is the cache, as far as it goes, what the table is?
sub agrees
{
	my ($name) = @_;
	my $differing = $node->safe_psql('postgres', q{
		SELECT string_agg(n || ': ' || coalesce(c::text, 'none') || ' in Redis, '
			|| coalesce(r::text, 'none') || ' in the table', '; ' ORDER BY n)
		FROM (SELECT n, wtcache.get('item:' || n) AS c,
				(SELECT to_jsonb(i) FROM item i WHERE id = n) AS r
			FROM generate_series(1, 12) n) x
		WHERE c IS NOT NULL AND c IS DISTINCT FROM r});

	return is($differing, '', "$name: Redis agrees with the table");
}

# What is changed in a subtransaction that late is deleted and not stored, as
# nobody knows yet whether it will be rolled back.
#
# name, SQL of the transaction, SQL in the callback, then what Redis holds of
# the rows: id => v
my @cases = (
	[ 'the same row', q{UPDATE item SET v = 'early' WHERE id = 1},
		q{UPDATE item SET v = 'late' WHERE id = 1}, 1 => 'late', 2 => 'initial' ],
	[ 'another row', q{UPDATE item SET v = 'early' WHERE id = 1},
		q{UPDATE item SET v = 'late' WHERE id = 2}, 1 => 'early', 2 => 'late' ],
	[ 'no other operation', q{INSERT INTO plain VALUES (1)},
		q{UPDATE item SET v = 'late' WHERE id = 1}, 1 => 'late' ],
	[ 'nothing else at all', 'SELECT 1',
		q{UPDATE item SET v = 'late' WHERE id = 1}, 1 => 'late' ],
	[ 'twice', q{UPDATE item SET v = 'early' WHERE id = 1},
		q{UPDATE item SET v = 'late' WHERE id = 1;
		  UPDATE item SET v = 'later' WHERE id = 1}, 1 => 'later' ],
	[ 'a delete', q{UPDATE item SET v = 'early' WHERE id = 1},
		q{DELETE FROM item WHERE id = 1}, 1 => '' ],
	[ 'an insert after a delete', q{DELETE FROM item WHERE id = 1},
		q{INSERT INTO item VALUES (1, 'late', 'red')}, 1 => 'late' ],
	[ 'many rows', q{UPDATE item SET v = 'early'},
		q{UPDATE item SET v = 'late' WHERE id > 5}, 5 => 'early', 6 => 'late',
		9 => 'late' ],
	[ 'a trigger on the same row', q{UPDATE item SET v = 'early'},
		q{UPDATE item SET v = 'trigger' WHERE id = 1}, 1 => 'by trigger' ],
	[ 'a changed key', q{UPDATE item SET v = 'early' WHERE id = 1},
		q{UPDATE item SET id = 11, v = 'late' WHERE id = 1}, 1 => '', 11 => 'late' ],
	[ 'explicit operations', q{SELECT wtcache.set('item:10', '1')},
		q{SELECT wtcache.delete('item:10'), wtcache.set('item:12', '{"v":"late"}')},
		10 => '', 12 => 'late' ],
	[ 'a tag invalidated', q{UPDATE item SET tag = 'blue' WHERE id = 1},
		q{SELECT wtcache.invalidate_tags('red')}, 1 => 'initial', 2 => '' ],
	[ 'a savepoint released', q{UPDATE item SET v = 'early' WHERE id = 1},
		q{DO $$ BEGIN UPDATE item SET v = 'late' WHERE id = 1;
			EXCEPTION WHEN division_by_zero THEN NULL; END $$}, 1 => '' ]);

foreach my $case (@cases)
{
	my ($name, $sql, $late, %expected) = @$case;

	reset_rows();
	is(with_late($late, $sql), 0, "$name: committed");
	is(in_redis($_), $expected{$_}, "$name: item:$_")
	  foreach sort keys %expected;
	agrees($name) unless $name eq 'explicit operations';
	$redis->cli('del', 'item:10', 'item:11', 'item:12');
}

# Rolled back to a savepoint: nothing of it may reach Redis.
reset_rows();
my $partly = q{DO $$ BEGIN UPDATE item SET v = 'late' WHERE id = 1;
	BEGIN UPDATE item SET v = 'undone' WHERE id IN (1, 2);
	PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END;
	EXCEPTION WHEN no_data_found THEN NULL; END $$};
is(with_late($partly, q{UPDATE item SET v = 'early' WHERE id = 1}), 0,
	'partly rolled back: committed');
isnt(in_redis($_), 'undone', "partly rolled back: item:$_") foreach 1, 2;
agrees('partly rolled back');

reset_rows();
my $undone = q{DO $$ BEGIN UPDATE item SET v = 'undone' WHERE id IN (1, 2);
	PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END $$};
is(with_late($undone, q{UPDATE item SET v = 'early' WHERE id = 1}), 0,
	'rolled back to a savepoint: committed');
isnt(in_redis($_), 'undone', "rolled back to a savepoint: item:$_")
  foreach 1, 2;
agrees('rolled back to a savepoint');

# An error in the callback takes the transaction with it.
reset_rows();
my $before = $node->stat('rollbacks');
isnt(with_late(
		q{UPDATE item SET v = 'late' WHERE id = 1; SELECT 1/0},
		q{UPDATE item SET v = 'early' WHERE id IN (1, 2)}),
	0, 'error: not committed');
is(in_redis($_), 'initial', "error: item:$_") foreach 1, 2;
isnt(with_late(q{UPDATE item SET v = 'late' WHERE id = 1; SELECT 1/0}, 'SELECT 1'),
	0, 'error without other operations: not committed');
is(in_redis(1), 'initial', 'error without other operations: item:1');
agrees('error');
is($node->stat('rollbacks'), $before + 2, 'error: counted as rollbacks');

# The session goes on as if nothing had been.
is( $node->safe_psql('postgres', q{
		\set ON_ERROR_STOP off
		BEGIN;
		UPDATE item SET v = 'early' WHERE id = 3;
		SET LOCAL late_writer.sql = $$UPDATE item SET v = 'x'; SELECT 1/0$$;
		COMMIT;
		UPDATE item SET v = 'after' WHERE id = 3;
		SELECT wtcache.get('item:3') ->> 'v'}),
	'after', 'error: the same session writes on');
is($node->status('in_flight'), 0, 'nothing left in flight');
is($node->status('replay_from IS NULL'), 't', 'nothing to replay');

# PREPARE TRANSACTION takes late changes as it takes early ones.
reset_rows();
foreach my $early (
	'',
	q{UPDATE item SET v = 'early' WHERE id IN (1, 2);},
	q{INSERT INTO plain VALUES (4);})
{
	my $name = 'PREPARE after "' . $early . '"';

	$node->safe_psql('postgres', qq{
		BEGIN;
		SET LOCAL late_writer.sql = \$\$UPDATE item SET v = 'late' WHERE id = 1\$\$;
		$early
		PREPARE TRANSACTION 'late'});
	is(in_redis(1), 'initial', "$name: nothing before the commit");
	$node->safe_psql('postgres', "COMMIT PREPARED 'late'");
	is(in_redis(1), 'late', "$name: item:1");
	is(in_redis(2), $early =~ /early/ ? 'early' : 'initial', "$name: item:2");
	agrees($name);
	reset_rows();
}
my ($status, $out, $err) = $node->psql('postgres', q{
	BEGIN;
	SET LOCAL late_writer.sql = $$UPDATE item SET v = 'late' WHERE id = 1; SELECT 1/0$$;
	UPDATE item SET v = 'early' WHERE id = 1;
	PREPARE TRANSACTION 'late'});
isnt($status, 0, 'PREPARE: an error in the callback');
is(in_redis(1), 'initial', 'PREPARE: ... leaves item:1');
is($node->status('in_flight'), 0, 'PREPARE: ... and nothing in flight');
is( $node->safe_psql('postgres', q{
		BEGIN;
		INSERT INTO plain VALUES (2);
		SET LOCAL late_writer.sql = 'INSERT INTO plain VALUES (3)';
		PREPARE TRANSACTION 'late';
		UPDATE item SET v = 'after' WHERE id = 1;
		SELECT wtcache.get('item:1') ->> 'v';
		COMMIT PREPARED 'late'}),
	'after', 'PREPARE: the same session writes on');

# With Redis away a late change costs a commit no more than any other.
reset_rows();
$redis->stop;
is(with_late(q{UPDATE item SET v = 'late' WHERE id = 1},
		q{UPDATE item SET v = 'early' WHERE id = 1}), 0, 'Redis away: committed');
is($node->safe_psql('postgres', 'SELECT v FROM item WHERE id = 1'), 'late',
	'Redis away: the late change is in the table');
$redis->start;
ok($redis->poll_for('get item:1', qr/"v": ?"late"/),
	'Redis is back: the late change has been replayed');

$node->stop;
done_testing();
