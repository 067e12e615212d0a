# Stock pgbench with its tables attached: in the end Redis is what the tables
# are, without a single difference.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Compare;
use Wtcache::Node;
use Wtcache::Redis;

my $scale = 2;
my $clients = 8;
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.connect_timeout' => '60s'
	});

$node->command_ok(
	[ 'pgbench', '-i', '-q', '-s', $scale, $node->connstr('postgres') ],
	'pgbench -i');

# pgbench's history has no key, and so cannot be attached.
my ($code, $out, $err) =
  $node->psql('postgres', "SELECT wtcache.attach('pgbench_history')");
isnt($code, 0, 'a table without a key is refused');
like($err, qr/ERROR:  table "pgbench_history" has no primary key/,
	'... with a clear error');
like(
	$err,
	qr/HINT:  Name the columns of a unique index in the key, such as "pgbench_history:\{column\}"\./,
	'... and a hint');

$node->safe_psql('postgres', q{
	SELECT wtcache.attach('pgbench_accounts', tags => ARRAY['branch:{bid}']);
	SELECT wtcache.attach('pgbench_branches');
	SELECT wtcache.attach('pgbench_tellers',
		tags => ARRAY['tellers', 'branch-tellers:{bid}'])});
is( $node->safe_psql('postgres', 'SELECT key FROM wtcache.attachments ORDER BY 1'),
	join("\n",
		map { "pgbench_${_}s:{" . substr($_, 0, 1) . 'id}' }
		  qw(account branche teller)),
	'default keys');

# Accounts that pgbench never writes must stay absent: it loads them in one
# transaction, so the others are known by theirs.
my $loaded = $node->safe_psql('postgres',
	'SELECT DISTINCT xmin FROM pgbench_accounts');
like($loaded, qr/^\d+$/, 'all accounts are from one transaction');
is($redis->cli('--scan', '--pattern', 'pgbench_*'),
	'', 'attaching writes nothing');
my %written = (
	accounts => "xmin::text <> '$loaded'",
	branches => "xmin::text <> '$loaded'",
	tellers => "xmin::text <> '$loaded'");

sub compare
{
	my ($name) = @_;

	foreach my $table ('accounts', 'branches', 'tellers')
	{
		my $key = substr($table, 0, 1) . 'id';
		my @differences =
		  Wtcache::Compare::differences($node, $redis, "pgbench_$table", $key,
			rows => $written{$table});
		my $n = $node->safe_psql('postgres',
			"SELECT count(*) FROM pgbench_$table WHERE $written{$table}");

		cmp_ok($n, '>', 0, "$name: $n of pgbench_$table written");
		is(scalar @differences, 0, "$name: pgbench_$table is as in Redis")
		  or diag(join "\n", grep { defined } @differences[ 0 .. 9 ]);
	}

	# The tag sets hold the keys there are, and nothing else.
	foreach my $bid (1 .. $scale)
	{
		foreach my $t ([ 'branch', 'accounts', 'aid' ],
			[ 'branch-tellers', 'tellers', 'tid' ])
		{
			my ($tag, $table, $key) = @$t;
			my $held = join "\n", sort split /\n/,
			  $redis->cli('smembers', "tag:$tag:$bid");

			is( $held,
				join("\n",
					sort split /\n/,
					$node->safe_psql('postgres',
						"SELECT 'pgbench_$table:' || $key FROM pgbench_$table"
						  . " WHERE bid = $bid AND $written{$table}")),
				"$name: tag $tag:$bid is complete");
		}
	}
	is($node->stat('pushes_failed + pushes_skipped'), '0', "$name: no push failed");
	is($node->status('in_flight'), '0', "$name: nothing in flight");
	is($node->status('replay_from IS NULL'), 't', "$name: nothing to replay");
	return;
}

sub pgbench
{
	my ($name, $each, @args) = @_;
	my $pushed = $node->stat('pushes_ok');

	# All clients write the same few branches: pushes overtake each other.
	$node->command_checks_all(
		[
			'pgbench', '-n', '-c', $clients, '-j', '2', '-t', $each, @args,
			$node->connstr('postgres')
		],
		0,
		[
			qr{number of transactions actually processed: ${\($clients * $each)}/${\($clients * $each)}\b},
		],
		[qr{^((?!error|abort).)*$}s],
		"pgbench: $name");
	is($node->stat('pushes_ok') - $pushed,
		$clients * $each, "$name: one push for each transaction");
	return;
}

pgbench('tpcb-like', 300, '-b', 'tpcb-like');
compare('tpcb-like');
pgbench('simple-update', 300, '-b', 'simple-update');
compare('simple-update');
pgbench('tpcb-like, prepared', 300, '-b', 'tpcb-like', '-M', 'prepared');
compare('tpcb-like, prepared');
pgbench('simple-update, prepared, connecting each time',
	50, '-b', 'simple-update', '-M', 'prepared', '-C');
compare('connecting each time');

# All rows of a small table at once, and what pgbench did not write
$node->safe_psql('postgres', q{
	UPDATE pgbench_branches SET filler = 'all';
	UPDATE pgbench_tellers SET filler = 'all'});
is( join("\n",
		Wtcache::Compare::differences($node, $redis, 'pgbench_branches', 'bid'),
		Wtcache::Compare::differences($node, $redis, 'pgbench_tellers', 'tid')),
	'',
	'every branch and every teller');
is($redis->cli('scard', 'tag:tellers'), 10 * $scale, 'all tellers in one tag');

# The end of it
$node->safe_psql('postgres',
	'TRUNCATE pgbench_accounts, pgbench_tellers; DELETE FROM pgbench_branches');
is(scalar %{ Wtcache::Compare::contents($redis, 'pgbench_*') },
	0, 'emptied tables, no keys left');
is($redis->cli('--scan', '--pattern', 'tag:*'), '', '... and no tag sets');
is($node->stat('pushes_failed'), '0', 'no push failed');

$node->stop;
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|terminated by signal/,
	'no crash');

done_testing;
