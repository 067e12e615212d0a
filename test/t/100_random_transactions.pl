# Random transactions against tables with triggers that make them worse; after
# every few, each key in Redis is compared with its row.
#
# Each of these would show: a value that differs from its row, a key without a
# row, a row that is not there, a value that is not in the set of each of its
# tags.  Nothing is slow or broken here, so that nothing may be missing but what
# an explicit deletion of a row's key or an invalidation of its tag took out,
# or a row of "swaps" whose key another row has had for a moment: as the key is
# unique only at the end, that row's leaving deletes it.
#
# Then some with outages, and some of them asynchronous: Redis is stopped, comes
# back without its data or with those of an earlier time, and is compared when
# the worker has replayed what it missed.
#
# WTC_SEED selects other transactions, WTC_TRANSACTIONS how many.  What the
# triggers do is drawn from the seed as well, so that it always is the same
# test, but for rounds in which two sessions meet.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Test::More;
use Time::HiRes qw(time);
use Wtcache::Node;
use Wtcache::Redis;
use Wtcache::Resp;

my $seed = $ENV{WTC_SEED} // 1;
my $transactions = $ENV{WTC_TRANSACTIONS} // 8000;
my $batch = 5;    # transactions of a session between two comparisons
my $outages = 8;
my $async = 0;    # how many of the transactions are asynchronous

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s',
		'fsync' => 'off',
		'autovacuum' => 'off',
		'deadlock_timeout' => '20ms'
	});
my $resp = Wtcache::Resp->new($redis->socket);

# plain: immediate triggers before and behind ours, by their names; a condition
# swaps: a key that is unique only at the end
# parts: partitions, deferred triggers, tags of several forms
# hashed: as a hash, keyed by two columns, tagged, invalidates a tag
# fanned: changed only by a trigger of another table
$node->safe_psql('postgres', q{
	CREATE TABLE plain (id int PRIMARY KEY, v text, n int DEFAULT 0);
	CREATE TABLE swaps (id int PRIMARY KEY,
		k int UNIQUE DEFERRABLE INITIALLY DEFERRED, v text, n int DEFAULT 0);
	CREATE TABLE parts (id int PRIMARY KEY, v text, n int DEFAULT 0)
		PARTITION BY RANGE (id);
	CREATE TABLE parts1 PARTITION OF parts FOR VALUES FROM (0) TO (5);
	CREATE TABLE parts2 PARTITION OF parts FOR VALUES FROM (5) TO (1000);
	CREATE TABLE hashed (a int DEFAULT 1, id int, v text, n int DEFAULT 0,
		PRIMARY KEY (a, id));
	CREATE TABLE fanned (id int PRIMARY KEY, v text, n int DEFAULT 0);
	INSERT INTO fanned SELECT i, 'initial' FROM generate_series(1, 9) i;

	-- What explicit operations have written
	CREATE TABLE explicit (key text PRIMARY KEY, value jsonb, tags text[]);
	CREATE FUNCTION put(k text, v jsonb, t text[]) RETURNS void LANGUAGE sql AS $$
		INSERT INTO explicit VALUES (k, v, t)
			ON CONFLICT (key) DO UPDATE SET value = v, tags = t;
		SELECT wtcache.set(k, v, tags => t) $$;
	CREATE FUNCTION remove(k text) RETURNS void LANGUAGE sql AS $$
		DELETE FROM explicit WHERE key = k;
		SELECT wtcache.delete(k) $$;

	CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
	DECLARE
		t text := TG_ARGV[0];
		r float := random();
	BEGIN
		IF pg_trigger_depth() > 3 THEN
			RETURN NULL;
		END IF;
		IF r < 0.25 THEN
			EXECUTE format('UPDATE %I SET n = n + 1, v = v || ''t'' WHERE id = $1', t)
				USING NEW.id;
		ELSIF r < 0.35 THEN
			EXECUTE format('DELETE FROM %I WHERE id = $1', t) USING NEW.id;
		ELSIF r < 0.45 THEN
			BEGIN
				EXECUTE format('UPDATE %I SET v = ''undone'' WHERE id = $1', t)
					USING NEW.id;
				RAISE EXCEPTION 'undo';
			EXCEPTION WHEN raise_exception THEN NULL;
			END;
		ELSIF r < 0.5 THEN
			BEGIN
				EXECUTE format('DELETE FROM %I WHERE id = $1', t) USING NEW.id;
				RAISE EXCEPTION 'undo';
			EXCEPTION WHEN raise_exception THEN NULL;
			END;
		ELSIF r < 0.6 THEN
			BEGIN
				EXECUTE format('UPDATE %I SET id = id + 50 WHERE id = $1 AND id < 50', t)
					USING NEW.id;
			EXCEPTION WHEN unique_violation THEN NULL;
			END;
		ELSIF r < 0.65 THEN
			EXECUTE format('DELETE FROM %I WHERE id = $1', t) USING NEW.id;
			EXECUTE format('INSERT INTO %I (id, v) VALUES ($1, ''again'')'
				' ON CONFLICT DO NOTHING', t)
				USING NEW.id;
		ELSIF r < 0.75 THEN
			UPDATE fanned SET v = t || NEW.id || NEW.v, n = n + 1
				WHERE id = NEW.id % 9 + 1;
		END IF;
		RETURN NULL;
	END $$;

	SELECT wtcache.attach('plain', key => 'plain:{id}', condition => 'n < 3');
	SELECT wtcache.attach('swaps', key => 'swaps:{k}', tags => ARRAY['s:{id}']);
	SELECT wtcache.attach('parts', key => 'parts:{id}',
		tags => ARRAY['p:{n}', 'parts']);
	SELECT wtcache.attach('hashed', key => 'hashed:{a}:{id}',
		tags => ARRAY['h:{a}'], format => 'hash');
	SELECT wtcache.attach('fanned', key => 'fanned:{id}');
	CREATE TRIGGER aaa AFTER INSERT OR UPDATE ON plain
		FOR EACH ROW EXECUTE FUNCTION meddle('plain');
	CREATE TRIGGER zzz AFTER INSERT OR UPDATE ON plain
		FOR EACH ROW EXECUTE FUNCTION meddle('plain');
	CREATE TRIGGER aaa AFTER INSERT OR UPDATE ON parts
		FOR EACH ROW EXECUTE FUNCTION meddle('parts');
	CREATE CONSTRAINT TRIGGER ddd AFTER INSERT OR UPDATE ON parts
		DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION meddle('parts');
	CREATE TRIGGER aaa AFTER INSERT OR UPDATE ON hashed
		FOR EACH ROW EXECUTE FUNCTION meddle('hashed');

	-- What should be in Redis: as text, as a hash, and each with its tags
	CREATE VIEW expected AS
		SELECT 'plain:' || id AS key, row_to_json(t)::text AS value, '{}'::text[] AS tags
			FROM plain t WHERE n < 3
		UNION ALL
		SELECT 'swaps:' || k, row_to_json(t)::text, ARRAY['s:' || id]
			FROM swaps t WHERE k IS NOT NULL
		UNION ALL
		SELECT 'parts:' || id, row_to_json(t)::text, ARRAY['p:' || n, 'parts']
			FROM parts t
		UNION ALL
		SELECT 'hashed:' || a || ':' || id,
			'a=' || a || ' id=' || id || ' n=' || n || ' v=' || v, ARRAY['h:' || a]
			FROM hashed t
		UNION ALL
		SELECT 'fanned:' || id, row_to_json(t)::text, '{}' FROM fanned t
		UNION ALL
		SELECT key, value::text, tags FROM explicit;
	UPDATE fanned SET n = 1;
	});

# All that Redis holds: value or sorted fields; its tags
my $contents = q{
local values, tags = {}, {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  if string.sub(key, 1, 4) == 'tag:' then
    for _, member in ipairs(redis.call('SMEMBERS', key)) do
      tags[#tags + 1] = member
      tags[#tags + 1] = string.sub(key, 5)
    end
  elseif string.sub(key, 1, 8) ~= 'wtcache:' then
    local value
    if kind == 'hash' then
      local list, h = {}, redis.call('HGETALL', key)
      for i = 1, #h, 2 do
        list[#list + 1] = h[i] .. '=' .. h[i + 1]
      end
      table.sort(list)
      value = table.concat(list, ' ')
    else
      value = redis.call('GET', key)
    end
    values[#values + 1] = key
    values[#values + 1] = value
  end
end
return {values, tags}
};

# ---------------------------------------------------------------------------
# Transactions
# ---------------------------------------------------------------------------

sub chance { return rand() < $_[0]; }
sub one_of { return $_[ rand @_ ]; }
sub number { my ($from, $to) = @_; return $from + int rand($to - $from + 1); }

sub statement
{
	my ($i, $j) = (number(1, 9), number(1, 9));
	my $t = one_of('plain', 'parts');
	my $w = number(0, 999);
	my $statement;

	my @kinds = (
		[ 20, "INSERT INTO $t (id, v) VALUES ($i, 'i$w')"
			  . " ON CONFLICT (id) DO UPDATE SET v = excluded.v || 'c', n = $t.n + 1" ],
		[ 10, "UPDATE $t SET v = v || 'u', n = n + 1 WHERE id IN ($i, $j)" ],
		[ 5, "UPDATE $t SET id = $i + $j - id WHERE id IN ($i, $j)"
			  . " AND NOT EXISTS (SELECT FROM $t WHERE id = $i + $j - id)" ],
		[ 5, "DELETE FROM $t WHERE id = $i" ],
		[ 5, "WITH d AS (DELETE FROM $t WHERE id = $i RETURNING *) INSERT INTO $t"
			  . " SELECT " . number(10, 19) . ", v, 0 FROM d ON CONFLICT DO NOTHING" ],
		[ $i == $j ? 0 : 5, "MERGE INTO $t USING (VALUES ($i), ($j)) s (x) ON id = x"
			  . " WHEN MATCHED AND n > 1 THEN DELETE"
			  . " WHEN MATCHED THEN UPDATE SET n = n + 1"
			  . " WHEN NOT MATCHED THEN INSERT (id, v) VALUES (x, 'm')" ],
		[ 2, "TRUNCATE " . one_of('plain', 'parts', 'parts1', 'hashed', 'swaps',
			'plain, parts') ],
		[ 8, "INSERT INTO swaps VALUES ($i, $j, 'b$w')" ],
		[ 7, "UPDATE swaps SET k = $i + $j - k, n = n + 1 WHERE k IN ($i, $j)" ],
		[ 7, "UPDATE swaps SET k = (SELECT x.k FROM swaps x WHERE x.id = $j)"
			  . " WHERE id = $i;"
			  . " UPDATE swaps SET k = " . number(1, 12) . " WHERE id = $j" ],
		[ 5, "UPDATE swaps SET k = k % 9 + 1" ],
		[ 5, "UPDATE swaps SET v = v || 't' WHERE id = $i" ],
		[ 5, "DELETE FROM swaps WHERE id = $i" ],
		[ 8, "INSERT INTO hashed VALUES (" . number(1, 3) . ", $i, 'h$w')"
			  . " ON CONFLICT (a, id) DO UPDATE SET v = excluded.v, n = hashed.n + 1" ],
		[ 4, "UPDATE hashed SET a = a % 3 + 1, v = v || 'a' WHERE id = $i" ],
		[ 3, "DELETE FROM hashed WHERE id = $i" ],
		[ 3, "UPDATE $t SET n = 0 WHERE id = $i" ],
		[ 3, "SELECT put('op:$i', to_jsonb($w), ARRAY['o:$j', 'op'])" ],
		[ 2, "SELECT remove('op:$i')" ],
		[ 1, "SELECT wtcache.invalidate_tags('o:$j')" ],
		[ 1, "SELECT wtcache.invalidate_tags('"
			  . one_of('parts', 'p:1', 'h:' . number(1, 3), "s:$i") . "')" ],
		[ 1, "SELECT wtcache.delete('" . one_of('plain', 'parts', 'fanned') . ":$i')" ]);
	my $x = 0;

	$x += $_->[0] foreach @kinds;
	$x = rand $x;
	foreach my $kind (@kinds)
	{
		return $kind->[1] if ($x -= $kind->[0]) < 0;
	}
	die;
}

sub transaction
{
	# Either the first error ends it, or each statement has a savepoint.
	my @lines = (
		'\set ON_ERROR_ROLLBACK ' . one_of('on', 'off') . "\nBEGIN",
		sprintf('SELECT setseed(%.6f)', rand));
	push @lines, 'SET LOCAL wtcache.mode = async' if $async && chance($async);
	my $depth = 0;

	foreach (1 .. number(1, 8))
	{
		my $x = rand;

		if ($x < 0.2)
		{
			push @lines, "SAVEPOINT s$depth";
			$depth++;
		}
		elsif ($x < 0.3 && $depth)
		{
			$depth--;
			push @lines, "RELEASE s$depth";
		}
		elsif ($x < 0.42 && $depth)
		{
			my $to = int rand $depth;
			$depth = $to + 1;
			push @lines, "ROLLBACK TO s$to";
		}
		elsif ($x < 0.46)
		{
			push @lines, 'SET CONSTRAINTS ALL IMMEDIATE';
		}
		else
		{
			push @lines, statement();
		}
	}
	push @lines, chance(0.9) ? 'COMMIT' : 'ROLLBACK';
	return @lines;
}

# ---------------------------------------------------------------------------
# Comparison
# ---------------------------------------------------------------------------

my ($compared, $missing, $passed) = (0, 0, 0);
my %excused;    # keys that were deleted by an invalidation, or explicitly

# Differences, one line each
sub differences
{
	my ($session, $may_miss) = @_;
	my ($values, $tags) = @{ $resp->command('EVAL', $contents, 0) };
	my %held = @$values;
	my %in_set;
	my @differences;

	while (my ($key, $tag) = splice @$tags, 0, 2)
	{
		$in_set{"$key $tag"} = 1;
	}
	foreach my $row (split /\n/, $session->query_safe(
			"SELECT concat_ws(E'\\t', key, value, array_to_string(tags, ','))"
			  . ' FROM expected'))
	{
		my ($key, $value, $carried) = split /\t/, $row, -1;
		my $held = delete $held{$key};

		$compared++;
		if (!defined $held)
		{
			$missing++;
			if ($key =~ /^swaps:/ && !$may_miss && !$excused{$key})
			{
				$passed++;
				$excused{$key} = 1;
			}
			$excused{$key} = 1 if $may_miss;
			push @differences, "$key: missing, and the row is $value"
			  if !$excused{$key};
			next;
		}
		delete $excused{$key};
		push @differences, "$key: $held, and the row is $value"
		  if $held ne $value;
		push @differences, map { "$key is not in the set of its tag $_" }
		  grep { !$in_set{"$key $_"} } split /,/, $carried;
	}
	push @differences, map { "$_: $held{$_}, and there is no such row" }
	  sort keys %held;
	return @differences;
}

# ---------------------------------------------------------------------------
# Here it begins
# ---------------------------------------------------------------------------

note("WTC_SEED=$seed");
srand($seed);

my @sessions = ($node->session, $node->session);
my $begun = time;
my ($done, $round, @found, @ran) = (0, 0);

while ($done < $transactions && !@found)
{
	# One session, or both at a time
	my $two = $round++ % 4 == 3;
	my @work;

	foreach my $i (0 .. $two)
	{
		$work[$i] = join('', map { "$_;\n" } map { transaction() } 1 .. $batch);
		$done += $batch;
	}
	$node->begin_query($sessions[1], $work[1]) if $two;
	$sessions[0]->query($work[0]);
	$sessions[1]->query('SELECT 1') if $two;
	# Errors are expected.
	$_->{stderr} = '' foreach @sessions;
	@found = differences($sessions[0],
		"@work" =~ /wtcache\.(delete|invalidate_tags)/);
	@ran = @work;
}

is(join("\n", @found), '', "$transactions transactions, no difference")
  or diag("after $done transactions, the last of them\n", join("----\n", @ran));
note(sprintf('%.1f s, %d rows compared, %d missing with reason, %d of them'
		  . ' because another row has had the key',
		time - $begun, $compared, $missing, $passed));
cmp_ok($passed, '<', 5 + $transactions / 200, 'few keys were had by another row');

my %stat = $node->stats;
note("$_: $stat{$_}") foreach grep { $stat{$_} } sort keys %stat;
is($stat{pushes_failed}, 0, 'no push failed');
cmp_ok($stat{$_}, '>', 0, "there were $_")
  foreach qw(sets deletes invalidations rollbacks discarded);
cmp_ok($missing, '<', $compared / 4, 'few are missing');

# ---------------------------------------------------------------------------
# Outages
# ---------------------------------------------------------------------------

# Some transactions in both sessions, one after the other; what they ran
sub some_transactions
{
	my @work;

	foreach my $session (@sessions)
	{
		my $work = join('', map { "$_;\n" } map { transaction() } 1 .. $batch);

		$session->query($work);
		$session->{stderr} = '';
		push @work, $work;
	}
	return @work;
}

$async = 0.3;
foreach my $outage (1 .. $outages)
{
	my $keep = $outage % 2;
	my @work;

	$redis->cli('save') if $keep;
	push @work, some_transactions();
	$redis->stop('KILL');
	push @work, some_transactions();
	$redis->start;
	push @work, some_transactions();
	unlink $redis->dir . '/dump.rdb';
	is($sessions[0]->query_safe("SELECT wtcache.wait('60s')"),
		't', "outage $outage: replayed");
	$resp = Wtcache::Resp->new($redis->socket);
	@found =
	  differences($sessions[0], "@work" =~ /wtcache\.(delete|invalidate_tags)/);
	is(join("\n", @found),
		'', "outage $outage, " . ($keep ? 'old data' : 'no data') . ': no difference')
	  or diag(join("----\n", @work));
	last if @found;
}
%stat = $node->stats;
cmp_ok($stat{$_}, '>', 0, "there were $_")
  foreach qw(pushes_failed replayed replay_batches);

$_->quit foreach @sessions;
$node->stop;
done_testing();
