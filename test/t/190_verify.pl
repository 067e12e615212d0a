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
		'max_prepared_transactions' => 10
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
is(run(q{SELECT wtcache.flush('60s')}), 't', 'flushall: settled');
run(q{SELECT wtcache.clear('items')});
is( run(q{SELECT missing || ' ' || repaired FROM wtcache.verify_summary('items', repair => true)}),
	"$rows $rows", 'cleared: all of it is missing and repaired');
is(verify('items'), '', 'cleared: back again');

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

sub start_load
{
	my ($mode) = @_;
	my $script = $node->basedir . '/load.sql';
	my %load = (out => '');
	my $seq = run('SELECT coalesce(max(seq), 0) FROM items WHERE id = 1');

	open(my $file, '>', $script) or die "could not write \"$script\": $!";
	print $file qq{
		\\set id random(2, $rows)
		\\set r random(1, 12)
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
		\\else
		BEGIN;
		DELETE FROM items WHERE id = :id;
		INSERT INTO items VALUES (:id, :r, 0, 'again') ON CONFLICT DO NOTHING;
		COMMIT;
		\\endif
	};
	close $file;
	local $ENV{PGOPTIONS} = "-c wtcache.mode=$mode";
	$load{run} = IPC::Run::start(
		[
			'pgbench', '-n', '-c', 4, '-T', 600, '--max-tries=100', '-f', $script,
			$node->connstr('postgres')
		],
		'<', \undef, '>', \$load{out}, '2>', \$load{out},
		IPC::Run::timeout($timeout));
	$node->poll_query_until('postgres',
		"SELECT max(seq) > $seq + 20 FROM items WHERE id = 1") or die 'no load';
	return \%load;
}

sub end_load
{
	my ($load, $name) = @_;

	ok($load->{run}->pumpable, "$name: it was there all the time");
	$load->{run}->signal('INT');
	$load->{run}->finish;
	return;
}

foreach my $mode (qw(write_through async))
{
	my $before = run('SELECT sum(abs(seq)) FROM items');
	my $load = start_load($mode);
	my $until = time + 8;
	my ($runs, $rows_checked, @found) = (0, 0);

	while (time < $until)
	{
		push @found, run(q{SELECT * FROM wtcache.verify('items', timeout => '60s')});
		$rows_checked += run(q{SELECT checked FROM wtcache.verify_summary('items', timeout => '60s')});
		$runs++;
	}
	is(join("\n", grep { $_ ne '' } @found), '',
		"$mode: nothing is found in $runs runs");
	cmp_ok($rows_checked, '>', $runs * $rows / 4, "$mode: rows were looked at");

	# what is wrong is found all the same, and repaired
	run(q{INSERT INTO items SELECT i, 0, 0, 'quiet' FROM generate_series(20001, 20020) i});
	$redis->cli('del', map { "items:$_" } 20_001 .. 20_010);
	$redis->cli('set', "items:$_", 'x', 'px', 60_000) foreach 30_001 .. 30_010;
	is( verify('items', q{repair => true, timeout => '60s'}),
		join("\n",
			(map { "missing items:$_ repaired" } 20_001 .. 20_010),
			(map { "orphan items:$_ repaired" } 30_001 .. 30_010)),
		"$mode: what was planted is found");

	# repairing in the way of those who write the very keys
	foreach my $round (1 .. 5)
	{
		$redis->cli('eval', q{
			for i = 1, tonumber(ARGV[1]), 3 do
				redis.call('set', 'items:' .. i, 'wrong', 'px', 3000000)
			end}, 0, $rows);
		verify('items', q{repair => true, timeout => '60s'});
	}
	end_load($load, $mode);
	cmp_ok(run('SELECT sum(abs(seq)) FROM items'), '!=', $before, "$mode: it wrote");
	is(run(q{SELECT wtcache.flush('60s')}), 't', "$mode: flushed");
	# rows that were locked have not been repaired, but nothing else is wrong
	unlike(verify('items', 'repair => true'), qr/^(?!stale).+/m,
		"$mode: at most what could not be locked is left");
	is(verify('items'), '', "$mode: nothing is left");
	is( join("\n",
			Wtcache::Compare::differences($node, $redis, 'items', 'id',
				rows => 'seq >= 0')),
		'', "$mode: Redis agrees with items");
	run('DELETE FROM items WHERE id > 20000');
}

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
run(q{SELECT wtcache.flush('60s')});
$node->pause_worker;
run(q{SET wtcache.mode = async; UPDATE items SET v = 'later', seq = 1 WHERE id = 4});
is(verify('items', q{timeout => '100ms'}), 'in flight items:4',
	'async: what is not pushed yet is no difference');
is(run(q{SELECT differing || ' ' || in_flight || ' ' || consistency FROM
	wtcache.verify_summary('items', timeout => '100ms')}),
	'0 1 100 %', 'async: nor in the summary');
$node->resume_worker;
is(verify('items'), '', 'async: pushed');

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
like($err, qr/ERROR:  could not read from Redis: (connect|closed)/, 'gone: a clear error');
$redis->start;

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP/, 'no crash');
done_testing();
