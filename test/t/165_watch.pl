# monitoring/: what Prometheus gets through its exporter for PostgreSQL, the
# alerts in an outage of Redis, and that each query of the dashboard has data.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use JSON::PP ();
use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Prometheus;
use Wtcache::Redis;

my $top = "$FindBin::RealBin/../..";
my $monitoring = "$top/monitoring";

# --- the rules by themselves -----------------------------------------------------

command_ok([ 'promtool', 'check', 'rules', "$monitoring/alerts.yaml" ],
	'promtool check rules');
command_ok([ 'promtool', 'test', 'rules', "$top/test/watch/alerts_test.yaml" ],
	'promtool test rules');

# --- a server that is watched ----------------------------------------------------

my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	conf => {
		'wtcache.connect_timeout' => '300ms',
		'wtcache.push_timeout' => '300ms',
		'wtcache.breaker_failures' => 6,
		'wtcache.breaker_cooldown' => '500ms' });

$node->safe_psql('postgres', q{
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	CREATE SCHEMA shop;
	CREATE TABLE shop.items (id int PRIMARY KEY, v text);
	CREATE TABLE pages (id int PRIMARY KEY, v text);
	SELECT wtcache.attach('shop.items', invalidates => '{list}');
	SELECT wtcache.attach('pages');
	INSERT INTO shop.items SELECT i, 'v' FROM generate_series(1, 10) i});

# Another database that uses wtcache, and one that does not
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'second', 'other';
$node->safe_psql('second', q{
	CREATE EXTENSION wtcache;
	CREATE TABLE news (id int PRIMARY KEY);
	SELECT wtcache.attach('news');
	INSERT INTO news VALUES (1), (2)});

my $session = $node->session;
my $prometheus = Wtcache::Prometheus->new($node, user => 'watcher',
	queries => "$monitoring/queries.yaml", rules => "$monitoring/alerts.yaml",
	args => [ '--auto-discover-databases', '--include-databases=second' ]);

sub work
{
	$session->query_safe(q{UPDATE shop.items SET v = v || 'x' WHERE id = 1});
	return;
}

# The exporter objects to nothing, and says all that its file promises.
my %metrics = $prometheus->metrics;
my %promised;
my ($namespace, $metric);

foreach (split /\n/, slurp_file("$monitoring/queries.yaml"))
{
	$namespace = $1 if /^(\w+):/;
	$metric = $1 if /^    - (\w+):/;
	$promised{"${namespace}_$metric"} = lc $1
	  if /^        usage: "(GAUGE|COUNTER|HISTOGRAM)"/;
}
is_deeply({ map { /^wtcache_/ ? ($_ => $metrics{$_}) : () } keys %metrics },
	\%promised, 'all metrics, and no others');
unlike($prometheus->log_content('exporter'), qr/level=error|error (?:running|retriev|scraping)|(?:Unexpected|Unparseable|Missing)/i,
	'the exporter has no errors');

# The numbers are those of the views.
work() foreach 1 .. 3;
$session->query_safe('DELETE FROM shop.items WHERE id = 2');
my %same = (
	'wtcache_healthy' => 'SELECT healthy::int FROM wtcache.status',
	'wtcache_worker_up' => 'SELECT 1',
	'wtcache_retained_limit_bytes' => q{SELECT pg_size_bytes('4GB')},
	'wtcache_default_ttl_seconds' => 'SELECT 3600',
	'wtcache_pushes_total{outcome="ok"}' => 'SELECT pushes_ok FROM wtcache.stat',
	'sum(wtcache_operations_total)' => 'SELECT sets + deletes + invalidations FROM wtcache.stat',
	'wtcache_stat_bytes_sent_total' => 'SELECT bytes_sent FROM wtcache.stat',
	'wtcache_push_duration_seconds_count{outcome="ok"}' => 'SELECT pushes_ok FROM wtcache.stat',
	'wtcache_push_duration_seconds_bucket{outcome="ok",le="+Inf"}' => 'SELECT pushes_ok FROM wtcache.stat',
	'round(1e6 * wtcache_push_duration_seconds_sum{outcome="ok"})' =>
	  q{SELECT round(1000 * total_time) FROM wtcache.stat_latency WHERE outcome = 'ok'},
	'wtcache_table_sets_total{datname="postgres",schemaname="shop",relname="items"}' =>
	  q{SELECT sets FROM wtcache.stat_attachment WHERE relid = 'shop.items'::regclass},
	'wtcache_table_deletes_total{relname="items"}' => 'SELECT 1',
	'wtcache_table_sets_total{relname="pages"}' => 'SELECT 0',
	'wtcache_table_sets_total{datname="second",schemaname="public",relname="news"}' => 'SELECT 2',
	'count(wtcache_healthy)' => 'SELECT 1',
	'count(wtcache_table_sets_total)' => 'SELECT 3',
	'pg_exporter_last_scrape_error' => 'SELECT 0',
	'count(wtcache_failures_total)' => q{
		SELECT count(*) FROM pg_attribute
		 WHERE attrelid = 'wtcache.stat'::regclass AND attname LIKE 'fail\_%'});
foreach my $expr (sort keys %same)
{
	my $expected = $session->query_safe($same{$expr});

	$prometheus->wait_for($expr, undef, sub { @_ == 1 && $_[0]{value} == $expected });
	cmp_ok($prometheus->value($expr) // 'nothing', '==', $expected, $expr);
}
# The median as Prometheus reckons it is in the bucket of the view's.
my $ratio =
  $prometheus->value('histogram_quantile(0.5, wtcache_push_duration_seconds_bucket{outcome="ok"})')
  * 1000 / $session->query_safe(q{SELECT p50_time FROM wtcache.stat_latency WHERE outcome = 'ok'});

cmp_ok($ratio, '>', 0.7, 'the median is not too low');
cmp_ok($ratio, '<', 1.4, '... nor too high');

# What is asked every few seconds must not be compiled (jit_above_cost).
my ($cost) = $node->safe_psql('postgres', 'EXPLAIN SELECT * FROM wtcache.stat_attachment')
  =~ /cost=[\d.]+\.\.([\d.]+) /;

cmp_ok($cost, '<', 50_000, 'wtcache.stat_attachment is a cheap query');

# --- the alerts --------------------------------------------------------------------

my %alerts = map { $_->{name} => $_ } map { @{ $_->{rules} } }
  @{ $prometheus->api('rules')->{groups} };

cmp_ok(scalar keys %alerts, '>=', 8, 'Prometheus has the alerts');
sub fires
{
	my ($name, $expected, $meanwhile) = @_;
	my $expr = $alerts{$name}{query} or die "no alert $name";

	$prometheus->wait_for($expr, $meanwhile, sub { !!@_ == !!$expected });
	is(scalar(my @samples = $prometheus->query($expr)) ? 1 : 0, $expected,
		"$name: " . ($expected ? 'true' : 'not true'));
	return;
}

# Prometheus has more than one sample of all, so that rates can be true, too.
$prometheus->wait_for('count_over_time(wtcache_healthy[1m]) > 2');
fires($_, 0) foreach sort keys %alerts;

# Redis is gone; it does not answer, so that latencies have failures, too.
$redis->pause;
work() foreach 1 .. 6;
fires('WtcacheBreakerOpen', 1, \&work);
fires('WtcacheFailuresRising', 1, \&work);
fires('WtcacheUnhealthy', 1, \&work);
is_deeply([ map { $_->{labels}{class} }
		$prometheus->wait_for('wtcache_failures_total > 0', \&work) ],
	['timeout'], 'the class of the failures');
ok($prometheus->wait_for('wtcache_lag_seconds > 2', \&work), 'the lag grows');
ok($prometheus->wait_for('ALERTS{alertname="WtcacheBreakerOpen"}', \&work),
	'Prometheus itself sees the alert');
$redis->resume;
fires('WtcacheBreakerOpen', 0, \&work);
is($session->query_safe(q{SELECT wtcache.flush('3 minutes')}), 't', 'flushed');
fires('WtcacheUnhealthy', 0);
ok($prometheus->wait_for('wtcache_lag_seconds == 0'), 'no lag any more');
ok($prometheus->wait_for('wtcache_stat_replayed_total > 0'), 'replayed');

# --- the dashboard -----------------------------------------------------------------

my $dashboard = JSON::PP::decode_json(slurp_file("$monitoring/dashboard.json"));
my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
my @exprs = map { my $p = $_; map { [ $p->{title}, $_->{expr} ] } @{ $p->{targets} } } @panels;
my (%ids, %values);

# What Grafana puts in for its variables
foreach my $variable (grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} })
{
	my ($of, $label) = $variable->{definition} =~ /^label_values\((.*), (\w+)\)$/
	  or die "label_values() of $variable->{name}";

	$of =~ s/\$instance/.*/;
	$values{ $variable->{name} } = join '|',
	  @{ $prometheus->api("label/$label/values", 'match[]' => $of) };
}
is($values{table}, 'items|news|pages', 'a variable: tables');
like($values{instance}, qr/^127\.0\.0\.1:\d+$/, 'a variable: instances');
$values{__rate_interval} = $values{__range} = '10m';

foreach (@exprs)
{
	my ($title, $expr) = @$_;
	my $name = "$title: $expr";

	$expr =~ s/\$(\w+)/$values{$1} \/\/ die "variable $1 in $name"/ge;
	ok($prometheus->wait_for($expr, \&work), "dashboard: $name");
}
is(scalar(grep { $ids{ $_->{id} }++ } @{ $dashboard->{panels} }), 0,
	'panels have numbers of their own');

# --- names ---------------------------------------------------------------------------

# Nothing is asked that the exporter does not say, and all that it says is used.
%metrics = $prometheus->metrics;
my %used = map { $_ => 1 } map { s/_(?:bucket|sum|count)$//r }
  map { /\b(wtcache_\w+)/g }
  (map { $_->{query} } values %alerts), (map { $_->[1] } @exprs),
  map { $_->{definition} // () } @{ $dashboard->{templating}{list} };
is_deeply([ grep { !$metrics{$_} } sort keys %used ], [],
	'the metrics of alerts and dashboard exist');

# --- no server -----------------------------------------------------------------------

$session->quit;
$node->stop('immediate');
fires('WtcacheNotWatched', 1);

done_testing();
