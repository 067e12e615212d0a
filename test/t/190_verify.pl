# Comparing the cache with tables: what was planted is found, exactly that, and
# repaired; nothing is found where nothing is wrong, however busy it is.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $timeout = $PostgreSQL::Test::Utils::timeout_default;
my $rows = 5_000;
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s',
		'max_prepared_transactions' => 10,
		# else nobody waits for a standby
		'max_wal_senders' => 1
	});

sub run { return $node->safe_psql('postgres', $_[0]); }

# The differences, a line each
sub verify
{
	my ($table, $options) = @_;

	return run("SELECT kind || ' ' || key || CASE WHEN repaired THEN ' repaired' ELSE '' END"
		  . " FROM wtcache.verify('$table'" . ($options ? ", $options" : '') . ')'
		  . ' ORDER BY kind, key COLLATE "C", detail');
}

run(qq{
	CREATE TABLE items (id int PRIMARY KEY, kind int, seq bigint, v text);
	SELECT wtcache.attach('items', ttl => '1 hour',
		tags => '{items,"kind:{kind}"}', condition => 'seq >= 0');
	INSERT INTO items SELECT i, i % 10, 0, repeat('v', 200) FROM generate_series(1, $rows) i;
	CREATE TABLE parts (id int PRIMARY KEY, v text, w numeric) PARTITION BY RANGE (id);
	CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM (0) TO (1000);
	CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM (1000) TO (5000)
		PARTITION BY HASH (id);
	CREATE TABLE parts_b0 PARTITION OF parts_b FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE parts_b1 PARTITION OF parts_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	SELECT wtcache.attach('parts', ttl => '1 hour', format => 'hash', tags => '{parts}');
	INSERT INTO parts SELECT i, 'v' || i, i / 7.0 FROM generate_series(0, 4999) i});

# --- planted -----------------------------------------------------------------

is(verify('items'), '', 'healthy: nothing');
is(verify('parts'), '', 'healthy: nothing in partitions');

# Each does its harm to one key, and that is what has to be found.
my %harm = (
	missing => sub { $redis->cli('del', $_[0]) },
	stale => sub {
		$redis->cli('type', $_[0]) eq 'hash'
		  ? $redis->cli('hset', $_[0], 'v', 'other')
		  : $redis->cli('set', $_[0], 'other', 'keepttl');
	},
	ttl => sub { $redis->cli('pexpire', $_[0], 3_700_000) },
	tag => sub { $redis->cli('srem', $_[0] =~ /^(.*?):/ ? "tag:$1" : '', $_[0]) },
	orphan => sub { $redis->cli('set', $_[0], 'x', 'px', 600_000) });

foreach my $table (qw(items parts))
{
	my @planted;
	my $id = 3;

	foreach my $kind (sort keys %harm)
	{
		foreach my $n (1 .. 40)
		{
			my $key = "$table:" . ($kind eq 'orphan' ? 10_000 + $n : ($id += 23));

			$harm{$kind}->($key);
			push @planted, "$kind $key";
		}
	}
	my $planted = join("\n", sort @planted);
	my $repaired = join("\n", sort map { "$_ repaired" } @planted);

	is(join("\n", sort split /\n/, verify($table)), $planted,
		"$table: what was planted is found");
	is( run("SELECT checked || ' ' || differing || ' ' || missing || ' ' || stale || ' ' ||"
			  . " ttl || ' ' || tag || ' ' || orphan || ' ' || in_flight || ' ' || consistency ||"
			  . " ' ' || round(nines::numeric, 4) FROM wtcache.verify_summary('$table')"),
		'5040 200 40 40 40 40 40 0 96.03 % 1.4014',
		"$table: the summary counts it");
	is(join("\n", sort split /\n/, verify($table, 'repair => true')),
		$repaired, "$table: and is repaired");
	is(verify($table), '', "$table: nothing is left");
}
is(join("\n",
		Wtcache::Compare::differences($node, $redis, 'items', 'id')),
	'', 'repaired: Redis agrees with items');
is( join("\n", Wtcache::Compare::tag_differences($node, $redis, q{
		SELECT t, 'items:' || id FROM items, LATERAL (VALUES ('items'), ('kind:' || kind)) AS l(t)
		UNION ALL SELECT 'parts', 'parts:' || id FROM parts})),
	'', 'repaired: so do the tags');
is($redis->cli('exists', 'parts:10001'), 0, 'repaired: orphans are gone');
cmp_ok($redis->cli('pttl', 'items:' . (3 + 23 * 195)), '<=', 3_600_000,
	'repaired: lives no longer than it should');

# --- the whole cache is gone: bounded memory, and all of it comes back ---------

$redis->cli('flushall');
is(run(q{SELECT wtcache.wait('60s')}), 't', 'flushall: settled');
run(q{SELECT wtcache.clear('items')});
is( run(q{SELECT missing || ' ' || repaired FROM wtcache.verify_summary('items', repair => true)}),
	"$rows $rows", 'cleared: all of it is missing and repaired');
is(verify('items'), '', 'cleared: back again');
run(q{SELECT wtcache.verify_summary('parts', repair => true)});
is(verify('parts'), '', 'flushall: the other table is back as well');

# --- sampling ----------------------------------------------------------------

run(q{SELECT wtcache.clear('items')});
$redis->cli('set', 'items:999999', 'x', 'px', 60_000);
my ($checked, $missing, $orphans) = split /\|/,
  run(q{SELECT checked, missing, orphan FROM wtcache.verify_summary('items', sample => 20)});
cmp_ok($checked, '>', $rows / 10, "sample: $checked rows are some");
cmp_ok($checked, '<', $rows / 3, '... and not all');
is($missing, $checked, '... and are looked at');
is($orphans, 0, 'sample: no search for orphans');
$redis->cli('del', 'items:999999');
run(q{CALL wtcache.warm('items')});

# --- under load --------------------------------------------------------------

# What runs against each table: statements of many kinds, one of them in each
# transaction.  Clients of parts have rows of their own, so that they can move
# them.  Rows from $quiet on are left alone.
my %quiet = (items => 20_001, parts => 4_901);
my %clients = (items => 4, parts => 3);
my %script = (
	items => qq{
		\\set id random(2, $rows)
		\\set r random(1, 14)
		UPDATE items SET seq = seq + 1 WHERE id = 1;
		\\if :r <= 5
		UPDATE items SET seq = seq + 1, kind = (kind + 1) % 10 WHERE id = :id;
		\\elif :r <= 7
		DELETE FROM items WHERE id = :id;
		\\elif :r <= 9
		INSERT INTO items VALUES (:id, :r, 0, 'inserted')
			ON CONFLICT (id) DO UPDATE SET seq = items.seq + 1;
		\\elif :r <= 10
		UPDATE items SET seq = -seq - 1 WHERE id = :id;
		\\elif :r <= 11
		UPDATE items SET seq = seq + 1 WHERE id BETWEEN :id AND :id + 30 AND id % 7 = 0;
		\\elif :r <= 12
		BEGIN;
		UPDATE items SET seq = seq + 1, v = 'prepared' WHERE id = :id;
		PREPARE TRANSACTION 'items :client_id';
		COMMIT PREPARED 'items :client_id';
		\\elif :r <= 13
		BEGIN;
		SAVEPOINT a;
		DELETE FROM items WHERE id = :id;
		ROLLBACK TO a;
		UPDATE items SET seq = seq + 1, v = 'savepoint' WHERE id = :id;
		RELEASE a;
		COMMIT;
		\\else
		BEGIN;
		DELETE FROM items WHERE id = :id;
		INSERT INTO items VALUES (:id, :r, 0, 'again') ON CONFLICT DO NOTHING;
		COMMIT;
		\\endif
	},
	parts => q{
		\set id random(0, 1600) * 3 + :client_id
		\set to random(0, 1600) * 3 + :client_id
		\set r random(1, 7)
		UPDATE parts SET w = w + 1 WHERE id = :client_id + 4850;
		\if :r <= 1
		UPDATE parts SET v = 'updated', w = w / 3 WHERE id = :id;
		\elif :r <= 2
		UPDATE parts SET id = :to, w = w + 1 WHERE id = :id AND NOT EXISTS (SELECT FROM parts WHERE id = :to);
		\elif :r <= 3
		DELETE FROM parts WHERE id = :id;
		\elif :r <= 4
		INSERT INTO parts VALUES (:id, 'inserted', 1.0) ON CONFLICT DO NOTHING;
		\elif :r <= 5
		BEGIN;
		UPDATE parts SET w = w + 1.00 WHERE id = :id;
		DELETE FROM parts WHERE id = :to;
		PREPARE TRANSACTION 'parts :client_id';
		ROLLBACK PREPARED 'parts :client_id';
		\elif :r <= 6
		BEGIN;
		DELETE FROM parts WHERE id = :to;
		UPDATE parts SET id = :to, v = 'moved' WHERE id = :id;
		PREPARE TRANSACTION 'parts :client_id';
		COMMIT PREPARED 'parts :client_id';
		\else
		BEGIN;
		DELETE FROM parts WHERE id = :to;
		SAVEPOINT a;
		UPDATE parts SET id = :to WHERE id = :id;
		ROLLBACK TO a;
		INSERT INTO parts VALUES (:to, 'instead', 7);
		COMMIT;
		\endif
	});
my %beat = (
	items => 'SELECT seq FROM items WHERE id = 1',
	parts => 'SELECT sum(w) FROM parts WHERE id >= 4850 AND id < 4900');

sub start_load
{
	my ($table, $mode) = @_;
	my $script = $node->basedir . "/$table.sql";
	my %load = (out => '');
	my $beat = run($beat{$table});

	open(my $file, '>', $script) or die "could not write \"$script\": $!";
	print $file $script{$table};
	close $file;
	local $ENV{PGOPTIONS} = "-c wtcache.mode=$mode";
	$load{run} = IPC::Run::start(
		[
			'pgbench', '-n', '-c', $clients{$table}, '-T', 600, '--max-tries=100',
			'-f', $script, $node->connstr('postgres')
		],
		'<', \undef, '>', \$load{out}, '2>', \$load{out},
		IPC::Run::timeout(5 * $timeout));
	$node->poll_query_until('postgres',
		"SELECT ($beat{$table}) > $beat + 20") or die "no load: $load{out}";
	return \%load;
}

# Takes pairs of a load and its name.
sub end_load
{
	foreach (@_)
	{
		my ($load, $name) = @$_;

		ok($load->{run}->pumpable, "$name: it was there all the time");
		# INT may be ignored, if the test was started in the background
		$load->{run}->signal('TERM');
		$load->{run}->finish;
		unlike($load->{out}, qr/ERROR|aborted/, "$name: without an error");
	}
	$node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'pgbench'})
	  or die 'the load does not end';
	run("ROLLBACK PREPARED '$_'")
	  foreach split /\n/, run('SELECT gid FROM pg_prepared_xacts');
	return;
}

# Harm to rows that are left alone, a few of each kind; what has to be found
sub plant
{
	my ($table) = @_;
	my $id = $quiet{$table};
	my @planted;

	foreach my $kind (sort keys %harm)
	{
		foreach my $n (1 .. 3)
		{
			my $key = "$table:" . ($kind eq 'orphan' ? 30_000 + $n : $id++);

			$harm{$kind}->($key);
			push @planted, "$kind $key";
		}
	}
	return sort @planted;
}

# Does Redis hold the hashes that it should?  Asks nobody of wtcache's.
sub hash_differences
{
	my %held = map { $_ => 1 } split /\n/, $redis->cli('eval', q{
		local all = {}
		for _, key in ipairs(redis.call('keys', 'parts:*')) do
			local h = redis.call('hmget', key, 'id', 'v', 'w')
			all[#all + 1] = key .. ' ' .. (h[1] or '') .. ' ' .. (h[2] or '') .. ' ' .. (h[3] or '')
		end
		return all}, 0);
	my @only = grep { !delete $held{$_} } split /\n/,
	  run(q{SELECT 'parts:' || id || ' ' || id || ' ' || v || ' ' || w FROM parts});

	return join("\n", (map { "table: $_" } @only), map { "Redis: $_" } sort keys %held);
}

run(q{INSERT INTO items SELECT i, 0, 0, 'quiet' FROM generate_series(20001, 20020) i});
foreach my $mode (qw(write_through async))
{
	# each beside the other, in the other mode
	my %mode = (items => $mode, parts => $mode eq 'async' ? 'write_through' : 'async');
	my %load = map { $_ => start_load($_, $mode{$_}) } sort keys %mode;
	my $until = time + 8;
	my (%checked, @found);
	my $runs = 0;

	while (time < $until)
	{
		foreach my $table (sort keys %mode)
		{
			push @found, run("SELECT * FROM wtcache.verify('$table', timeout => '60s')");
			$checked{$table} += run("SELECT checked FROM wtcache.verify_summary('$table', timeout => '60s')");
		}
		$runs++;
	}
	my @in_flight = grep { /^in flight/ } map { split /\n/ } @found;

	is(join("\n", grep { !/^in flight/ } map { split /\n/ } @found), '',
		"items $mode: nothing is found in $runs runs");
	# rows that every transaction changes may never rest
	cmp_ok(scalar @in_flight, '<=', $runs * 10, "items $mode: nearly all is settled");
	foreach my $table (sort keys %mode)
	{
		my $name = "$table $mode{$table}";
		my @planted = plant($table);

		cmp_ok($checked{$table}, '>', $runs * 1000, "$name: rows were looked at");
		# what is wrong is found all the same, and repaired
		is( join("\n", sort grep { !/^in flight/ } split /\n/,
				verify($table, q{timeout => '60s'})),
			join("\n", @planted),
			"$name: what was planted is found");
		# it does not wait for others while it has rows locked
		is( join("\n", sort grep { !/^in flight/ } split /\n/,
				verify($table, q{repair => true, timeout => '60s'})),
			join("\n", map { "$_ repaired" } @planted),
			"$name: and is repaired");

		# repairing in the way of those who write the very keys
		foreach my $round (1 .. 5)
		{
			$redis->cli('eval', q{
				for i = 1, tonumber(ARGV[2]), 3 do
					redis.call('set', ARGV[1] .. ':' .. i, 'wrong', 'px', 3000000)
				end}, 0, $table, $rows - 200);
			verify($table, q{repair => true, timeout => '60s'});
		}
	}
	end_load(map { [ $load{$_}, "$_ $mode{$_}" ] } sort keys %mode);
	is(run(q{SELECT wtcache.wait('60s')}), 't', "$mode: all pushed");
	foreach my $table (sort keys %mode)
	{
		# rows that were locked have not been repaired, but nothing else is wrong
		unlike(verify($table, 'repair => true'), qr/^(?!stale).+/m,
			"$mode: at most what could not be locked is left of $table");
		is(verify($table), '', "$mode: nothing is left of $table");
	}
	is( join("\n",
			Wtcache::Compare::differences($node, $redis, 'items', 'id',
				rows => 'seq >= 0')),
		'', "$mode: Redis agrees with items");
	is(hash_differences(), '', "$mode: Redis agrees with parts");
}
run('DELETE FROM items WHERE id > 20000');

# --- in flight ---------------------------------------------------------------

run(q{DELETE FROM items WHERE id <= 4;
	INSERT INTO items SELECT i, 1, 1, 'x' FROM generate_series(1, 4) i});
run(q{BEGIN; UPDATE items SET v = 'prepared', seq = 1 WHERE id <= 3;
	INSERT INTO items VALUES (40001, 1, 1, 'x'); PREPARE TRANSACTION 'p'});
is(verify('items', q{timeout => '100ms'}), '', 'prepared: not wrong');
$redis->cli('del', 'items:1', 'items:2', 'items:3');
is(verify('items', q{timeout => '100ms'}), join("\n", map { "in flight items:$_" } 1 .. 3),
	'prepared: nothing is known of what it changes');
run(q{COMMIT PREPARED 'p'});
is(verify('items'), '', 'prepared: committed');

# a commit that Redis has not seen yet
run(q{SELECT wtcache.wait('60s')});
$node->pause_worker;
run(q{SET wtcache.mode = async; UPDATE items SET v = 'later', seq = 1 WHERE id = 4});
is(verify('items', q{timeout => '100ms'}), 'in flight items:4',
	'async: what is not pushed yet is no difference');
is(run(q{SELECT differing || ' ' || in_flight || ' ' || consistency FROM
	wtcache.verify_summary('items', timeout => '100ms')}),
	'0 1 100 %', 'async: nor in the summary');
$node->resume_worker;
is(verify('items'), '', 'async: pushed');

# Repairing locks rows; who waits for them may be who is waited for.
$redis->cli('del', 'items:1', 'items:4');
my ($writer, $repairer) = map { $node->session } 1 .. 2;
$writer->query_safe(q{BEGIN; UPDATE items SET v = 'open' WHERE id = 1});
$node->begin_query($repairer, q{BEGIN; CREATE TEMP TABLE found AS
	SELECT * FROM wtcache.verify('items', repair => true, timeout => '1 day')});
is($repairer->query_safe(q{SELECT kind, key, repaired FROM found ORDER BY key}),
	"in flight|items:1|f\nmissing|items:4|t", 'repair: waits for nobody who waits for it');
$node->begin_query($writer, q{UPDATE items SET v = 'waited' WHERE id = 4; COMMIT});
$repairer->query_safe('COMMIT');
$writer->query_safe('SELECT 1');
is(verify('items'), '', 'repair: all is well');
$_->quit foreach $writer, $repairer;

# --- committed, and waiting for a standby --------------------------------------

# Such a row is in WAL, where the worker finds it, and nobody sees it.
my @waiting = map { $node->session } 1 .. 3;
my @sql = (
	q{INSERT INTO items VALUES (50001, 1, 1, 'x')},
	q{UPDATE items SET id = 50002 WHERE id = 2},
	q{DELETE FROM items WHERE id = 3});
run(q{BEGIN; INSERT INTO items VALUES (50003, 1, 1, 'x'); PREPARE TRANSACTION 'p'});
$node->reconfigure('synchronous_standby_names' => 'nobody');
push @waiting, $node->session;
push @sql, q{COMMIT PREPARED 'p'};
foreach my $i (0 .. 3)
{
	$node->settle($waiting[$i], 'synchronous_standby_names' => 'nobody');
	$waiting[$i]->query_safe('SET wtcache.mode = async');
	$node->begin_query($waiting[$i], $sql[$i]);
}
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 4 FROM pg_stat_activity WHERE wait_event = 'SyncRep'}),
	'standby: four wait for it');
$redis->cli('set', 'items:50009', 'x', 'px', 60_000);
is(verify('items', q{repair => true, timeout => '60s'}), 'orphan items:50009 repaired',
	'standby: no orphan but the one that is one');
is($redis->cli('exists', map { "items:5000$_" } 1 .. 3), 0,
	'standby: what nobody sees is not in Redis');
is($redis->cli('exists', 'items:2', 'items:3'), 2, 'standby: what all see is');
$node->reconfigure('synchronous_standby_names' => '');
$_->query_safe('SELECT 1') foreach @waiting;
is(run(q{SELECT wtcache.wait('60s')}), 't', 'standby: all pushed');
is($redis->cli('exists', map { "items:5000$_" } 1 .. 3), 3, 'standby: then they are');
is($redis->cli('exists', 'items:2', 'items:3'), 0, 'standby: and those gone');
is(verify('items'), '', 'standby: nothing is wrong');
$_->quit foreach @waiting;

# --- a row comes back while its orphan is deleted -------------------------------

# The key's type looks at every value, and so can be made to wait: in the last
# of verify's looks at the table, after which it deletes.
run(q{
	CREATE FUNCTION pass(t text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		IF current_setting('test.gate', true) = 'on' THEN
			PERFORM pg_advisory_lock_shared(42), pg_advisory_unlock_shared(42);
		END IF;
		RETURN true;
	END $$;
	CREATE DOMAIN gated AS text CHECK (pass(VALUE));
	CREATE TABLE gates (k gated PRIMARY KEY, v text);
	SELECT wtcache.attach('gates', ttl => '1 hour')});
foreach my $back (0, 1)
{
	my ($gate, $hunter) = map { $node->session } 1 .. 2;
	my $name = 'race: ' . ($back ? 'the row is back' : 'nobody stores it');

	$redis->cli('set', 'gates:a', 'old', 'px', 3_600_000);
	$hunter->query_safe(q{SET test.gate = on});
	$node->pause_worker;
	$node->begin_query($hunter, q{CREATE TEMP TABLE found AS SELECT kind, key, repaired
		FROM wtcache.verify('gates', repair => true, timeout => '60s')});
	ok($node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'CREATE TEMP TABLE found%'
				AND wait_event_type = 'Extension'}),
		"$name: waits for the worker");
	$gate->query_safe('SELECT pg_advisory_lock(42)');
	$node->resume_worker;
	ok($node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted}),
		"$name: looks for the row for the last time");
	run(q{INSERT INTO gates VALUES ('a', 'new')}) if $back;
	$gate->query_safe('SELECT pg_advisory_unlock(42)');
	is($hunter->query_safe('SELECT * FROM found'),
		$back ? 'orphan|gates:a|f' : 'orphan|gates:a|t', "$name: reported");
	is($redis->cli('get', 'gates:a'), $back ? '{"k":"a","v":"new"}' : '',
		"$name: what Redis holds");
	is(verify('gates'), '', "$name: nothing is wrong");
	$_->quit foreach $gate, $hunter;
}

# --- another encoding, and prefixes of its own ---------------------------------

run(q{CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0});
run(q{ALTER DATABASE latin SET wtcache.key_prefix = 'l*[1]:';
	ALTER DATABASE latin SET wtcache.tag_prefix = 't?:'});
# as UTF-8, whatever the locale of the test is
$ENV{PGCLIENTENCODING} = 'UTF8';
$node->safe_psql('latin', q{
	CREATE EXTENSION wtcache;
	CREATE TABLE names (k text PRIMARY KEY, v text);
	SELECT wtcache.attach('names', ttl => '1 hour', tags => '{"{v}",all}', format => 'hash');
	INSERT INTO names VALUES (U&'\00e9', U&'\00fc'), ('*', '*'), ('', 'x'), ('[a]', ''),
		('\', E'a\nb'), ('%', NULL), (repeat('n', 2000), repeat('v', 1000000))});
my $latin = q{SELECT kind, key, detail, repaired FROM wtcache.verify('names', repair => true)
	ORDER BY kind, key COLLATE "C"};
is($node->safe_psql('latin', $latin), '', 'latin1: nothing');
is($redis->cli('hget', "l*[1]:names:\xc3\xa9", 'v'), "\xc3\xbc", 'latin1: it is there');
$redis->cli('del', "l*[1]:names:\xc3\xa9");
$redis->cli('srem', 'l*[1]:t?:all', 'l*[1]:names:*');
$redis->cli('eval', q{redis.call('hset', KEYS[1], 'v', string.rep('w', 1000000))},
	1, 'l*[1]:names:' . ('n' x 2000));
$redis->cli('hset', $_, 'k', 'x')
  foreach "l*[1]:names:\xc3\xa4", "l*[1]:names:\xe2\x82\xac", "l*[1]:names:\xff",
  "l1:names:x", "ll[1]:names:x", 'names:x';
is( $node->safe_psql('latin', $latin),
	join("\n",
		'missing|l*[1]:names:\xc3\xa9||t',
		'orphan|l*[1]:names:\xc3\xa4||t',
		'stale|l*[1]:names:' . ('n' x 2000) . '|other values|t',
		'tag|l*[1]:names:*|not in l*[1]:t?:all|t'),
	'latin1: what was planted is found');
is($node->safe_psql('latin', $latin), '', 'latin1: repaired');
is($redis->cli('exists', "l*[1]:names:\xe2\x82\xac", "l*[1]:names:\xff", 'l1:names:x',
		'll[1]:names:x', 'names:x'),
	5, 'latin1: what cannot be of the table is left alone');
delete $ENV{PGCLIENTENCODING};
# --- a partition that comes while keys are being verified ----------------------

$redis->cli('hset', 'parts:5000', 'v', 'x');
$redis->cli('pexpire', 'parts:5000', 3_000_000);
$node->pause_worker;
my $found = '';
my $verifying = IPC::Run::start(
	[
		'psql', '-XAtq', '-c', q{SELECT kind, key FROM wtcache.verify('parts', timeout => '60s')},
		$node->connstr('postgres')
	],
	'<', \undef, '>', \$found, '2>', \$found, IPC::Run::timeout($timeout));
$node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity
	WHERE query LIKE 'SELECT kind,%' AND wait_event IN ('Extension', 'WtcacheAwaitWorker')})
  or die 'it does not wait';
run(q{CREATE TABLE parts_c (LIKE parts INCLUDING ALL);
	ALTER TABLE parts ATTACH PARTITION parts_c FOR VALUES FROM (5000) TO (6000);
	SET session_replication_role = replica;
	INSERT INTO parts VALUES (5000, 'x', 1)});
$node->resume_worker;
$verifying->finish;
is($found, '', 'a new partition: its row is seen');
is(verify('parts'), "stale parts:5000\ntag parts:5000", '... and compared the next time');

# --- what does not follow the table is not filled -------------------------------

run(q{ALTER TABLE parts_c DISABLE TRIGGER USER});
my ($refused, undef, $reason) =
  $node->psql('postgres', q{SELECT * FROM wtcache.verify('parts', repair => true)});
is($refused, 3, 'disabled: no repair');
like($reason, qr/ERROR:  the capture trigger of "parts_c" is disabled/, '... and why');
is(verify('parts'), 'missing parts:5000', 'disabled: looking is allowed');
run(q{ALTER TABLE parts_c ENABLE TRIGGER USER});
is(verify('parts', 'repair => true'), 'missing parts:5000 repaired', 'enabled: repaired');

# --- Redis does not answer, or is gone -----------------------------------------

$node->reconfigure('wtcache.push_timeout' => '500ms',
	'wtcache.connect_timeout' => '500ms');
$redis->pause;
my $begun = time;
my ($code, $out, $err) = $node->psql('postgres', q{SELECT * FROM wtcache.verify('items')});
$redis->resume;
is($code, 3, 'paused: an error');
like($err, qr/ERROR:  could not read from Redis: timeout/, 'paused: a clear one');
cmp_ok(time - $begun, '<', 60, 'paused: soon');
$redis->stop('KILL');
($code, $out, $err) = $node->psql('postgres', q{SELECT * FROM wtcache.verify('items')});
like($err, qr/ERROR:  could not read from Redis: (no_socket|connect|closed)/, 'gone: a clear error');
$redis->start;

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP/, 'no crash');
done_testing();
