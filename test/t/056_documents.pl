# Documents fuzzed: writers of random transactions over three tables, of which a
# query makes a document.
#
# Three things must hold.  While it runs, what a writer reads under the key of a document
# after its COMMIT has no part that is older than what it has written: counters only
# grow.  At rest each document is what its query returns, or absent.  And
# few are absent.  The schema is drawn from the seed: types of keys, whether the third table
# is a part or goes by a tag.
#
# WTC_SEED selects other schemas and transactions, WTC_TRANSACTIONS how many.  The
# long run is
#
#	WTC_TRANSACTIONS=200000 test/run tap 056

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $seed = $ENV{WTC_SEED} // 1;
my $transactions = $ENV{WTC_TRANSACTIONS} // 8000;
my $clients = 8;
my $rounds = 4;
my $roots = 6;    # few: writers are to meet

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s',
		'wtcache.document_lock_timeout' => '2s',
		'max_prepared_transactions' => 20,
		'fsync' => 'off'
	});

note("WTC_SEED=$seed");
srand($seed);

sub one_of { return $_[ rand @_ ]; }

# A type of a key, its value for a number, and what may refer to it
my %types = (
	int => [ '$1', 'int', 'bigint', 'smallint' ],
	bigint => [ '$1', 'int', 'bigint' ],
	text => [ q(chr(64 + $1) || ':%'), 'text', 'varchar' ],
	uuid => [ q(('00000000-0000-0000-0000-' || lpad($1::text, 12, '0'))::uuid), 'uuid' ],
	date => [ q(date '2000-01-01' + $1), 'date' ]);

sub schema
{
	my $type = one_of(sort keys %types);
	my ($value, @refer) = @{ $types{$type} };
	my $ref = one_of(@refer);
	my $two = int rand 2;    # columns of the primary key
	my $as_part = int rand 2;
	my $pk = $two ? 'k, k2' : 'k';
	my $more = $two ? ', k2 int DEFAULT 7' : '';
	my $by = $two ? 'i.root = r.k AND i.k2 = r.k2' : 'i.root = r.k';

	note("key $type" . ($two ? ', int' : '') . ", referred to as $ref, third table "
		  . ($as_part ? 'is a part' : 'by tag'));
	$node->safe_psql('postgres', qq{
		SET client_min_messages = error;
		DROP TABLE IF EXISTS root, item, named CASCADE;
		DROP FUNCTION IF EXISTS key_of;
		CREATE FUNCTION key_of(int) RETURNS $type LANGUAGE sql IMMUTABLE AS \$\$ SELECT ($value)::$type \$\$;
		CREATE TABLE root (k $type$more, name int, n int DEFAULT 0, PRIMARY KEY ($pk));
		CREATE TABLE item (id int PRIMARY KEY, root $ref$more, n bigint DEFAULT 0);
		CREATE TABLE named (id int PRIMARY KEY, root $ref$more, n int DEFAULT 0);
		INSERT INTO named SELECT i, key_of(i) FROM generate_series(1, 3) i;
		INSERT INTO root (k, name) SELECT key_of(i), i % 3 + 1 FROM generate_series(1, $roots) i;
		INSERT INTO item (id, root) SELECT i, key_of(i % $roots + 1) FROM generate_series(1, 20) i;
		SELECT wtcache.attach_document('doc', 'root', \$\$
			SELECT jsonb_build_object('pause', pause(), 'n', r.n, 'name', } . ($as_part ?
			"(SELECT sum(n) FROM named i WHERE $by)" : "(SELECT n FROM named WHERE id = r.name), 'of', r.name") . qq{, 'items',
				(SELECT jsonb_object_agg(i.id, i.n) FROM item i WHERE $by))
			  FROM root r WHERE r.k = \$1} . ($two ? ' AND r.k2 = $2' : '') . qq{
			\$\$, key => 'doc:{k}} . ($two ? '/{k2}' : '') . q{'} .
			($as_part ? '' : q{, tags => '{"named:{name}"}'}) . qq{);
		SELECT wtcache.attach_part('doc', 'item', 'root} . ($two ? ',k2' : '') . q{');
	} . ($as_part ? "SELECT wtcache.attach_part('doc', 'named', 'root" . ($two ? ',k2' : '') . q{')} :
		q{SELECT wtcache.attach('named', invalidates => '{"named:{id}"}')}));
	$node->safe_psql('postgres', q{
		CREATE OR REPLACE FUNCTION cached(int) RETURNS jsonb LANGUAGE sql AS $$
			SELECT wtcache.get((wtcache.preview_document('doc', VARIADIC ARRAY[key_of($1)::text} .
			($two ? q{, '7'} : '') . q{])).key) $$});
	return;
}

# What one transaction does: random changes, some of them in subtransactions that
# are rolled back.  Items in their order, and the root last, lest writers deadlock.
my $bodies = <<'SQL';
CREATE TABLE wrong (what text);
-- between the snapshot and the message others are to get on
CREATE FUNCTION pause() RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
	IF random() < 0.1 THEN
		PERFORM pg_sleep(0.003);
	END IF;
	RETURN NULL;
END $$;
-- The new counter, if there is one
CREATE FUNCTION change(i int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	new_n bigint;
	x float := random();
	r int := 1 + random() * (:roots - 1);
BEGIN
	IF x < 0.55 THEN
		UPDATE item SET n = n + 1 WHERE id = i RETURNING n INTO new_n;
	ELSIF x < 0.85 THEN
		UPDATE item SET n = n + 1, root = key_of(r) WHERE id = i RETURNING n INTO new_n;
	ELSIF x < 0.9 THEN
		UPDATE item SET n = n + 1, root = NULL WHERE id = i;
	ELSIF x < 0.95 THEN
		DELETE FROM item WHERE id = i;
	ELSE
		-- also one that was deleted does not become less
		INSERT INTO item (id, root, n)
			SELECT i, key_of(r), nextval('beyond') ON CONFLICT DO NOTHING RETURNING n INTO new_n;
	END IF;
	RETURN new_n;
END $$;
CREATE FUNCTION act(OUT item int, OUT floor_n bigint, OUT root int, OUT name_of int, OUT name_n bigint) LANGUAGE plpgsql AS $$
DECLARE
	i int := 1 + random() * 6;
	x float := random();
	new_n bigint;
	k1 int := 1 + random() * (:roots - 1);
	named1 int := 1 + random() * 2;
BEGIN
	IF x < 0.1 THEN
		PERFORM set_config('wtcache.document_limit', '1', true);
	END IF;
	FOR s IN 1..1 + (random() * 3)::int LOOP
		EXIT WHEN i > 20;
		BEGIN
			new_n := change(i);
			IF random() < 0.25 THEN
				RAISE EXCEPTION 'undo';
			END IF;
			IF new_n IS NOT NULL THEN
				act.item := i;
				act.floor_n := new_n;
			END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
		i := i + 1 + (random() * 4)::int;
	END LOOP;
	x := random();
	IF x < 0.2 THEN
		UPDATE root SET n = n + 1 WHERE k = key_of(k1);
	ELSIF x < 0.23 THEN
		DELETE FROM root WHERE k = key_of(k1);
	ELSIF x < 0.33 THEN
		INSERT INTO root (k, name) VALUES (key_of(k1), 1 + random() * 2) ON CONFLICT DO NOTHING;
	ELSIF x < 0.38 THEN
		UPDATE root SET name = 1 + random() * 2 WHERE k = key_of(k1);
	ELSIF x < 0.5 THEN
		UPDATE named SET n = n + 1 WHERE id = named1 RETURNING id, n INTO act.name_of, act.name_n;
	END IF;
	SELECT r.i INTO act.root
	  FROM item t JOIN generate_series(1, :roots) r(i) ON key_of(r.i) = t.root WHERE t.id = act.item;
	act.item := coalesce(act.item, 0);
	act.floor_n := coalesce(act.floor_n, 0);
	act.root := coalesce(act.root, 0);
	act.name_of := coalesce(act.name_of, 0);
	act.name_n := coalesce(act.name_n, 0);
END $$;
CREATE FUNCTION look(item int, floor_n bigint, root int, name_of int, name_n bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	doc jsonb;
BEGIN
	IF root > 0 THEN
		doc := cached(root);
	END IF;
	IF (doc #>> ARRAY['items', item::text])::bigint < floor_n THEN
		INSERT INTO wrong VALUES (format('item %s of %s is to be %s at least: %s', item, root, floor_n, doc));
	END IF;
	-- What goes by a tag, in all documents that have it.  A store that is under way
	-- beside the invalidation deletes its key again before it is settled, so
	-- that is waited for.
	FOR i IN 1..:roots LOOP
		EXIT WHEN name_of = 0;
		doc := cached(i);
		IF (doc ->> 'of')::int = name_of AND (doc ->> 'name')::bigint < name_n THEN
			PERFORM wtcache.wait('60s');
			doc := cached(i);
		END IF;
		IF (doc ->> 'of')::int = name_of AND (doc ->> 'name')::bigint < name_n THEN
			INSERT INTO wrong VALUES (format('name %s in %s is to be %s at least: %s', name_of, i, name_n, doc));
		END IF;
	END LOOP;
END $$;
CREATE SEQUENCE beyond START 1000000 INCREMENT 1000000;
SQL
$bodies =~ s/:roots/$roots/g;
$node->safe_psql('postgres', $bodies);

# The ways in which a transaction ends; what is read afterwards, where COMMIT has waited
my $read = "SELECT look(:item, :floor_n, :root, :name_of, :name_n);\n";
my %scripts = (
	commit => [ 70, "BEGIN;\nSELECT * FROM act() \\gset\nCOMMIT;\n$read" ],
	single => [ 15, "SELECT * FROM act() \\gset\n$read" ],
	repeatable => [ 5, "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT * FROM act() \\gset\nCOMMIT;\n$read" ],
	serializable => [ 3, "BEGIN ISOLATION LEVEL SERIALIZABLE;\nSELECT * FROM act() \\gset\nCOMMIT;\n$read" ],
	rollback => [ 5, "BEGIN;\nSELECT * FROM act();\nROLLBACK;\n" ],
	async => [ 4, "BEGIN;\nSET LOCAL wtcache.mode = async;\nSELECT * FROM act();\nCOMMIT;\n" ],
	prepared => [ 1, "BEGIN;\nSELECT * FROM act() \\gset\nPREPARE TRANSACTION 'p:client_id';\n"
		  . "COMMIT PREPARED 'p:client_id';\n$read" ]);
my @files;

foreach my $name (sort keys %scripts)
{
	my ($weight, $script) = @{ $scripts{$name} };
	my $file = $node->basedir . "/$name.sql";

	append_to_file($file, $script);
	push @files, '-f', "$file\@$weight";
}

# Those that differ from what the query returns, and how many there are
sub differences
{
	return $node->safe_psql('postgres', "
		SELECT format('%s: %s instead of %s', i, c, v)
		  FROM (SELECT i, cached(i) AS c, (wtcache.preview_document('doc', VARIADIC k)).value::jsonb AS v
				  FROM generate_series(1, $roots) i, LATERAL (SELECT ARRAY[key_of(i)::text]
					|| CASE WHEN 'k2' IN (SELECT attname FROM pg_attribute WHERE attrelid = 'root'::regclass)
					   THEN ARRAY['7'] END) a(k)) d
		 WHERE c IS NOT NULL AND c IS DISTINCT FROM v");
}

foreach my $round (1 .. $rounds)
{
	my ($out, $err);

	schema();
	my $ok = $node->safe_psql('postgres', 'SELECT count(*) FROM wtcache.documents WHERE problem IS NULL');

	is($ok, 1, "round $round: there is a document");
	run_log([ 'pgbench', '-n', '-c', $clients, '-j', 2, '-t', int($transactions / $rounds / $clients),
			'--max-tries', 1000, '--random-seed', $seed * 1000 + $round, @files, $node->connstr('postgres') ],
		'>', \$out, '2>', \$err);
	my $each = int($transactions / $rounds / $clients) * $clients;

	like($out, qr/actually processed: $each\/$each\n/, "round $round: no transaction has failed")
	  or diag("$out\n$err");
	$node->safe_psql('postgres', "SELECT wtcache.wait('60s')");
	is($node->safe_psql('postgres', 'SELECT * FROM wrong LIMIT 5'), '', "round $round: nothing old was read");
	is(differences(), '', "round $round: no document differs at rest");

	# all are there again after one change of each
	$node->safe_psql('postgres', 'UPDATE root SET n = n + 1');
	is(differences(), '', "round $round: nor does one afterwards");
	is( $node->safe_psql('postgres', "SELECT count(cached(i)) FROM generate_series(1, $roots) i"),
		$node->safe_psql('postgres', 'SELECT count(*) FROM root'),
		"round $round: each root has one");
}

my %stat = $node->stats;

note("$_: $stat{$_}") foreach grep { $stat{$_} } sort keys %stat;
cmp_ok($stat{sets}, '>', $transactions / 4, 'documents were stored');
$node->stop;
done_testing();
