# Statements that write far more rows than the version table has room for, side
# by side and beside hot rows: Redis is what the tables are, and nothing is
# missing for good.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $rows = 20_000;
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.push_timeout' => '60s',
		'wtcache.version_memory' => '64kB'
	});

$node->safe_psql('postgres', qq{
	CREATE TABLE hot (id int PRIMARY KEY, n int);
	CREATE TABLE one (id int PRIMARY KEY, n int);
	CREATE TABLE two (id int PRIMARY KEY, n int);
	SELECT wtcache.attach(t, tags => ARRAY['all'])
	  FROM unnest('{hot,one,two}'::regclass[]) t;
	INSERT INTO hot SELECT i, 0 FROM generate_series(1, 10) i;
	INSERT INTO one SELECT i, 0 FROM generate_series(1, $rows) i;
	INSERT INTO two SELECT i, 0 FROM generate_series(1, $rows) i});

my %script = (
	hot => "\\set id random(1, 10)\nUPDATE hot SET n = n + 1 WHERE id = :id;\n",
	one => "UPDATE one SET n = n + 1;\n",
	two => "UPDATE two SET n = n + 1;\n");

foreach my $name (keys %script)
{
	append_to_file("${PostgreSQL::Test::Utils::tmp_check}/$name.sql", $script{$name});
}

# Runs the scripts side by side: name => [ clients, transactions of each ]
sub run_beside
{
	my (%runs) = @_;
	my %before = $node->stats;
	my @runs;

	foreach my $name (sort keys %runs)
	{
		my ($clients, $transactions) = @{ $runs{$name} };

		push @runs, IPC::Run::start(
			[
				'pgbench', '-n', '-c', $clients, '-t', $transactions,
				'-f', "${PostgreSQL::Test::Utils::tmp_check}/$name.sql",
				$node->connstr('postgres')
			],
			'>', \my $out, '2>', \my $err);
	}
	foreach my $run (@runs)
	{
		ok($run->finish, 'pgbench ended well');
	}
	is($node->safe_psql('postgres', "SELECT wtcache.wait('60s')"), 't', 'replayed');
	is( $node->safe_psql('postgres', q{
			SELECT count(*) FROM unnest('{hot,one,two}'::regclass[]) t,
				LATERAL wtcache.verify(t)}), '0',
		'every row is in Redis, as it is now');

	my %after = $node->stats;
	my %gone = map { $_ => $after{$_} - $before{$_} }
	  qw(pushes_failed pushes_skipped deleted_instead stored);

	is($gone{pushes_failed} + $gone{pushes_skipped}, 0, 'no push failed');
	note("deleted instead $gone{deleted_instead}, stored $gone{stored}");
	return $gone{deleted_instead};
}

cmp_ok(run_beside(hot => [ 4, 500 ], one => [ 1, 5 ]), '<', 1000,
	'beside hot rows: few images are deleted instead of stored');
run_beside(hot => [ 4, 500 ], one => [ 1, 5 ], two => [ 1, 5 ]);

done_testing();
