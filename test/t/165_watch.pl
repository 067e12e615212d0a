# monitoring/: what Prometheus gets through its exporter for PostgreSQL, that each
# alert fires when there is a reason for it and stops when there is none any
# more, and that each query of the dashboard has data.

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

# The same rules with all durations divided by 30
my $rules = slurp_file("$monitoring/alerts.yaml");
my $shortened = PostgreSQL::Test::Utils::tempdir . '/alerts.yaml';
my %unit = (s => 1, m => 60, h => 3600);
my $n = ($rules =~ s/(\bfor: |\[)(\d+)([smh])\b/$1 . $2 * $unit{$3} * 1000 \/ 30 . 'ms'/ge);

is($n, 10, 'the durations of the rules are shortened');
is($rules =~ s/_seconds > 60$/_seconds > 2/mg, 1, '... and one in a comparison');
append_to_file($shortened, $rules);

my $redis = Wtcache::Redis->new;
my %well = (wal_level => 'replica', max_wal_senders => 10);
my $node = Wtcache::Node->start_new('main', url => $redis->url,
	conf => {
		# Without a slot at first
		'wal_level' => 'minimal', 'max_wal_senders' => 0,
		'wtcache.connect_timeout' => '300ms',
		'wtcache.push_timeout' => '300ms',
		'wtcache.breaker_failures' => 6,
		'wtcache.breaker_cooldown' => '500ms',
		'wtcache.heal_window' => 0,
		'wtcache.max_wal_retained' => '640MB' });

$node->safe_psql('postgres', q{
	CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
	CREATE SCHEMA shop;
	CREATE TABLE shop.items (id int PRIMARY KEY, v text);
	CREATE TABLE pages (id int PRIMARY KEY, v text);
	CREATE TABLE plain (id int);
	SELECT wtcache.attach('shop.items', invalidates => '{list}');
	SELECT wtcache.attach('pages')});

# Another database that uses wtcache, and one that does not
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach 'second', 'other';
$node->safe_psql('postgres',
	q{ALTER DATABASE second SET wtcache.key_prefix = 'second:'});
$node->safe_psql('second', q{
	CREATE EXTENSION wtcache;
	CREATE TABLE news (id int PRIMARY KEY);
	SELECT wtcache.attach('news')});

my $prometheus = Wtcache::Prometheus->new($node, user => 'watcher',
	queries => "$monitoring/queries.yaml", rules => $shortened,
	args => [ '--auto-discover-databases', '--include-databases=second' ]);
my $session;

sub work
{
	$session->query_safe(q{UPDATE shop.items SET v = v || 'x' WHERE id = 1});
	return;
}

# --- alerts ------------------------------------------------------------------------

my %alerts = map { $_->{name} => $_ } map { @{ $_->{rules} } }
  @{ $prometheus->api('rules')->{groups} };
my %fired;

sub fires
{
	my ($name, $meanwhile) = @_;
	my ($sample) = $prometheus->wait_for(
		qq{ALERTS{alertname="$name",alertstate="firing"}}, $meanwhile);
	my ($alert) = grep { $_->{labels}{alertname} eq $name }
	  @{ $prometheus->api('alerts')->{alerts} };
	my $text = join "\n", values %{ $alert->{annotations} || {} };

	ok($sample, "$name fires");
	like($text, qr/\w+.*\n\w+/, "$name: words for it");
	# What a template has not found, or could not do
	unlike($text, qr/no value|error|NaN|\{\{/, "$name: the words are complete")
	  or diag $text;
	$fired{$name} = 1 if $sample;
	return;
}

sub stops
{
	my ($name, $meanwhile) = @_;
	my $expr = qq{ALERTS{alertname="$name"}};

	$prometheus->wait_for($expr, $meanwhile, sub { !@_ });
	is(scalar(my @samples = $prometheus->query($expr)), 0, "$name has stopped");
	return;
}

sub restart
{
	my (%settings) = @_;

	$session->quit if $session;
	$node->stop if -e $node->data_dir . '/postmaster.pid';
	$node->set(%settings);
	$node->start;
	$session = $node->session;
	return;
}

is(scalar keys %alerts, 10, 'Prometheus has the alerts');
fires('WtcacheNoSlot');
# So far the server was always there.
unlike($prometheus->log_content('exporter'), qr/level=error|error (?:running|retriev|scraping)|(?:Unexpected|Unparseable|Missing)/i,
	'the exporter has no errors');
restart(%well);
stops('WtcacheNoSlot');
stops($_) foreach grep { $_ ne 'WtcacheNoSlot' } sort keys %alerts;

# --- the metrics -------------------------------------------------------------------

$session->query_safe(q{INSERT INTO shop.items SELECT i, 'v' FROM generate_series(1, 10) i});
$node->safe_psql('second', 'INSERT INTO news VALUES (1), (2)');

# The exporter says all that its file promises.
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

# The numbers are those of the views.
work() foreach 1 .. 3;
$session->query_safe('DELETE FROM shop.items WHERE id = 2');
my %same = (
	'wtcache_healthy' => 'SELECT healthy::int FROM wtcache.status',
	'wtcache_worker_up' => 'SELECT 1',
	'wtcache_retained_limit_bytes' => q{SELECT pg_size_bytes('640MB')},
	'wtcache_default_ttl_seconds' => 'SELECT 3600',
	'wtcache_pushes_total{outcome="ok"}' => 'SELECT pushes_ok FROM wtcache.stat',
	'sum(wtcache_operations_total)' => 'SELECT sets + deletes + invalidations FROM wtcache.stat',
	'wtcache_stat_bytes_sent_total' => 'SELECT bytes_sent FROM wtcache.stat',
	'wtcache_push_duration_seconds_count{outcome="ok"}' => 'SELECT pushes_ok FROM wtcache.stat',
	'wtcache_push_duration_seconds_bucket{outcome="ok",le="+Inf"}' => 'SELECT pushes_ok FROM wtcache.stat',
	'round(1e6 * wtcache_push_duration_seconds_sum{outcome="ok"})' =>
	  q{SELECT round(1000 * total_time) FROM wtcache.stat_latency WHERE outcome = 'ok'},
	'wtcache_table_sets_total{datname="postgres",schemaname="shop",relname="items"}' =>
	  q{SELECT sets FROM wtcache.stat_attachment WHERE relation = 'shop.items'::regclass},
	'wtcache_table_deletes_total{relname="items"}' => 'SELECT 1',
	'wtcache_table_sets_total{relname="pages"}' => 'SELECT 0',
	'wtcache_table_sets_total{datname="second",schemaname="public",relname="news"}' => 'SELECT 2',
	'count(wtcache_healthy)' => 'SELECT 1',
	'count(wtcache_table_sets_total)' => 'SELECT 3',
	'pg_exporter_last_scrape_error' => 'SELECT 0',
	'count(wtcache_failures_total)' => 'SELECT count(*) FROM wtcache.stat_failure');
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

# --- an outage ---------------------------------------------------------------------

# All is well, and Prometheus has more than one sample of all, so that rates can
# be true, too.
$prometheus->wait_for('count_over_time(wtcache_healthy[1m]) > 2');
$prometheus->wait_for('ALERTS', undef, sub { !@_ });
is_deeply([ map { $_->{labels}{alertname} } $prometheus->query('ALERTS') ], [],
	'no alert while all is well');
$session->query_safe($_) foreach 'SET wtcache.mode = async',
  q{UPDATE pages SET v = v; INSERT INTO pages VALUES (1)}, 'RESET wtcache.mode';
is($session->query_safe(q{SELECT wtcache.wait('3 minutes')}), 't', 'all pushed');
ok($prometheus->wait_for('wtcache_stat_replayed_total > 0'), 'replayed');

# Redis is there, but does not answer, so that latencies have failures, too;
# meanwhile there is more WAL than may wait.
sub segments
{
	my ($n) = @_;

	$session->query_safe($_) foreach ('INSERT INTO plain VALUES (1)', 'SELECT pg_switch_wal()') x $n;
	return;
}

$redis->pause;
work() foreach 1 .. 6;
fires('WtcacheBreakerOpen', \&work);
fires('WtcacheFailuresRising', \&work);
segments(33);
fires($_, \&work) foreach 'WtcacheLagSeconds', 'WtcacheLagBytes', 'WtcacheWalNearLimit',
  'WtcacheUnhealthy';
is_deeply([ map { $_->{labels}{class} }
		$prometheus->wait_for('wtcache_failures_total > 0', \&work) ],
	['timeout'], 'the class of the failures');

# Too much: what Redis lacks cannot be replayed any more.
$node->reconfigure('wtcache.max_wal_retained' => '64MB');
ok($node->poll_query_until('postgres', q{
	SELECT pg_walfile_name(retained_from) > pg_walfile_name(watermark) FROM wtcache.status}),
	'the limit is reached');
$node->safe_psql('postgres', 'CHECKPOINT');
$redis->resume;
fires('WtcacheCold');
is($session->query_safe(q{SELECT wtcache.wait('3 minutes')}), 't', 'all pushed after the outage');
stops($_) foreach 'WtcacheBreakerOpen', 'WtcacheLagSeconds', 'WtcacheLagBytes',
  'WtcacheWalNearLimit', 'WtcacheFailuresRising';
ok($prometheus->wait_for('wtcache_lag_seconds == 0'), 'no lag any more');
# What was in the cache would have expired by now.
$node->reconfigure('wtcache.default_ttl' => '1s');
stops('WtcacheCold');
stops('WtcacheUnhealthy');

# --- the dashboard -----------------------------------------------------------------

my $dashboard = JSON::PP::decode_json(slurp_file("$monitoring/dashboard.json"));
my @panels = grep { $_->{type} ne 'row' } @{ $dashboard->{panels} };
my @variables = @{ $dashboard->{templating}{list} };
my (%values, @objections, @used);

# What Grafana puts in for its variables
foreach my $variable (grep { $_->{type} eq 'query' } @variables)
{
	my ($of, $label) = $variable->{definition} =~ /^label_values\((.*), (\w+)\)$/
	  or die "label_values() of $variable->{name}";

	push @used, $variable->{definition};
	$of =~ s/\$instance/.*/;
	$values{ $variable->{name} } = join '|',
	  @{ $prometheus->api("label/$label/values", 'match[]' => $of) };
}
is($values{table}, 'items|news|pages', 'a variable: tables');
like($values{instance}, qr/^127\.0\.0\.1:\d+$/, 'a variable: instances');
$values{__rate_interval} = $values{__range} = '10m';

foreach my $panel (@panels)
{
	foreach my $target (@{ $panel->{targets} })
	{
		my $name = "$panel->{title}: $target->{expr}";
		my $expr = $target->{expr};

		push @used, $expr;
		$expr =~ s/\$(\w+)/$values{$1} \/\/ die "variable $1 in $name"/ge;
		my @samples = $prometheus->wait_for($expr, \&work);
		ok(scalar @samples, "dashboard: $name");
		# The legend tells the series apart, and by labels that they have.
		my %legends;
		foreach my $labels (map { $_->{labels} } @samples)
		{
			my $legend = $target->{legendFormat};

			$legend =~ s/\{\{(\w+)\}\}/$labels->{$1} \/\/ push(@objections, "no label $1 in $name")/ge;
			push @objections, "two series of one legend in $name" if $legends{$legend}++;
		}
	}
}

# What Grafana wants of the file
sub is_number { return $_[0] =~ /^\d+$/; }

my %ids;
my %units = map { $_ => 1 } qw(short none s percentunit ops bytes Bps);
my $source = { type => 'prometheus', uid => '${datasource}' };

push @objections, 'no schemaVersion' unless is_number($dashboard->{schemaVersion});
push @objections, 'uid' unless $dashboard->{uid} =~ /^[\w-]{1,40}$/;
push @objections, 'no data source to choose'
  unless grep { $_->{name} eq 'datasource' && $_->{type} eq 'datasource'
	  && $_->{query} eq 'prometheus' } @variables;
my @grid;
foreach my $panel (@{ $dashboard->{panels} })
{
	my $name = "panel $panel->{title}";
	my $pos = $panel->{gridPos};

	push @objections, "$name: type $panel->{type}"
	  unless $panel->{type} =~ /^(?:row|stat|timeseries)$/;
	push @objections, "$name: id" if !is_number($panel->{id}) || $ids{ $panel->{id} }++;
	push @objections, "$name: gridPos"
	  if grep({ !is_number($pos->{$_}) } qw(x y w h)) || $pos->{x} + $pos->{w} > 24
	  || $pos->{w} < 1 || $pos->{h} < 1;
	foreach my $y ($pos->{y} .. $pos->{y} + $pos->{h} - 1)
	{
		push @objections, "$name: overlaps $_"
		  foreach grep { defined } @{ $grid[$y] }[ $pos->{x} .. $pos->{x} + $pos->{w} - 1 ];
		@{ $grid[$y] }[ $pos->{x} .. $pos->{x} + $pos->{w} - 1 ] = ($name) x $pos->{w};
	}
	next if $panel->{type} eq 'row';

	my $unit = $panel->{fieldConfig}{defaults}{unit} // '';
	my %refs;

	push @objections, "$name: unit $unit" unless $units{$unit};
	push @objections, "$name: no targets" unless @{ $panel->{targets} };
	foreach my $target (@{ $panel->{targets} })
	{
		my $expr = $target->{expr};
		my $wanted =
			$expr =~ m{_bytes\{.*/.*_bytes\{} ? 'percentunit'
		  : $expr =~ /rate\(\w+_bytes_/ ? 'Bps'
		  : $expr =~ /rate\(wtcache_push_duration_seconds|_seconds\{/ ? 's'
		  : $expr =~ /_bytes\{/ ? 'bytes'
		  : $expr =~ /^(?:sum.*)?rate\(/ && @{ $panel->{targets} } == 1 ? 'ops'
		  : $unit;

		push @objections, "$name: unit $unit, not $wanted, for $expr" if $unit ne $wanted;
		push @objections, "$name: refId" if $refs{ $target->{refId} // '' }++;
		push @objections, "$name: data source of a target"
		  if JSON::PP->new->canonical->encode($target->{datasource} // {}) ne
		  JSON::PP->new->canonical->encode($source);
	}
	push @objections, "$name: data source"
	  if JSON::PP->new->canonical->encode($panel->{datasource} // {}) ne
	  JSON::PP->new->canonical->encode($source);
}
is_deeply(\@objections, [], 'the dashboard is as Grafana wants it');

# --- names ---------------------------------------------------------------------------

# Nothing is asked that the exporter does not say.
%metrics = $prometheus->metrics;
my %used = map { $_ => 1 } map { s/_(?:bucket|sum|count)$//r }
  map { /\b(wtcache_\w+)/g } (map { $_->{query} } values %alerts), @used;
is_deeply([ grep { !$metrics{$_} } sort keys %used ], [],
	'the metrics of alerts and dashboard exist');

# --- no server, no worker ------------------------------------------------------------

$session->quit;
undef $session;
$node->stop('immediate');
fires('WtcacheNotWatched');
restart(%well);
stops('WtcacheNotWatched');
# The postmaster starts it anew after a second, and so on.
fires('WtcacheWorkerDown', sub {
	my $pid = $session->query_safe('SELECT worker_pid FROM wtcache.status');

	kill 'TERM', $pid if $pid;
});
stops('WtcacheWorkerDown');
stops('WtcacheUnhealthy');
is_deeply([ sort keys %fired ], [ sort keys %alerts ], 'each alert has fired');

done_testing();
