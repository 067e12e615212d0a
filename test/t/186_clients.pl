# The clients for applications, each with the libraries that it is for: the same
# cases for all of them.  Libraries that are not installed here are left out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);
use Wtcache::BadRedis;
use Wtcache::Node;
use Wtcache::Redis;

my $redis = Wtcache::Redis->new;
my $bad = Wtcache::BadRedis->new(upstream => $redis);
my $node = Wtcache::Node->start_new(
	'main',
	url => $redis->url,
	conf => {
		'wtcache.leases' => 'on',
		'wtcache.lease_ttl' => '60s',
		'wtcache.connect_timeout' => '20s',
		'wtcache.push_timeout' => '20s',
		max_connections => 50
	});
my $dir = "$FindBin::RealBin/../clients";

$ENV{NODE_PATH} ||= '/usr/local/lib/wtcache-tests/node_modules';
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = $node->safe_psql('postgres', 'SELECT current_user');

# a library, its driver, and whether it can put a prefix before keys
my @libraries = (
	[ 'ioredis', [ 'node', "$dir/driver.mjs" ], 1 ],
	[ 'node-redis', [ 'node', "$dir/driver.mjs" ], 0 ],
	[ 'node-redis 2', [ 'node', "$dir/driver.mjs" ], 0 ],
	[ 'redis-py', [ '/usr/bin/python3', "$dir/driver.py" ], 0 ],
	[ 'asyncio', [ '/usr/bin/python3', "$dir/driver.py" ], 0 ],
	[ 'phpredis', [ 'php', "$dir/driver.php" ], 1 ],
	[ 'predis', [ 'php', "$dir/driver.php" ], 1 ]);

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text, cat text);
	SELECT wtcache.attach('item', tags => '{"cat:{cat}"}', ttl => '1 hour');
	CREATE TABLE prefixed (id int PRIMARY KEY, v text, cat text);
	SELECT wtcache.attach('prefixed', key => 'app:item:{id}', tags => '{"cat:{cat}"}');
	CREATE TABLE hashed (id int PRIMARY KEY, v text, missing text);
	SELECT wtcache.attach('hashed', format => 'hash');
	INSERT INTO item SELECT i, 'first', 'c' || i FROM generate_series(1, 400) i;
	INSERT INTO prefixed SELECT i, 'first', 'c' || i FROM generate_series(1, 400) i;
	INSERT INTO hashed SELECT i, 'first' FROM generate_series(1, 400) i});

sub run { return $node->safe_psql('postgres', $_[0]); }
sub image { return qq({"id":$_[0],"v":"$_[1]","cat":"c$_[0]"}); }

sub leases_for
{
	my ($ms) = @_;

	$redis->poll_for('hmget wtcache:leases ttl closed', "$ms\n") or die 'no leases';
	$node->poll_query_until('postgres', q{
		SELECT redis_open AND worker_state LIKE 'idle%' AND replay_from IS NULL
		FROM wtcache.status}) or die 'the worker has something to do';
	return;
}

# --- the programs

# Start one; false if it cannot be had here.
sub start
{
	my ($library, @args) = @_;
	my ($name, $command) = @$library;
	my $self = { in => '', out => '', err => '' };

	$self->{run} = IPC::Run::start(
		[ @$command, $name, @args ],
		'<', \$self->{in}, '>', \$self->{out}, '2>', \$self->{err},
		$self->{timer} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default));
	return line($self) eq 'ready' ? $self : undef;
}

# The next line that it prints, '' if it has ended.
sub line
{
	my ($self) = @_;

	$self->{timer}->start;
	while ($self->{out} !~ /\n/)
	{
		die 'a driver is stuck' if $self->{timer}->is_expired;
		last unless $self->{run}->pumpable && eval { $self->{run}->pump; 1 };
	}
	return $self->{out} =~ s/^(.*)\n// ? $1 : '';
}

sub result
{
	my ($self) = @_;
	my $line = line($self);

	return decode_json($line) if $line =~ /^\{/;
	diag("$line\n$self->{err}");
	return { error => "no result: $line", stats => {} };
}

sub ask
{
	my ($self, %request) = @_;

	$self->{in} .= encode_json(\%request) . "\n";
	$self->{run}->pump while $self->{in} ne '';
	return;
}

sub get
{
	my ($self, %request) = @_;

	ask($self, %request);
	return result($self);
}

# Begin a get() that stops when it has loaded.
sub begin
{
	my ($self, %request) = @_;

	ask($self, %request, pause => JSON::PP::true);
	is(line($self), 'loaded', "$request{key}: loaded") or diag($self->{err});
	return;
}

sub finish
{
	my ($self) = @_;

	$self->{in} .= "go\n";
	return result($self);
}

sub stop
{
	my ($self, $signal) = @_;

	return $self->{run}->kill_kill unless $signal;
	$self->{run}->signal($signal);
	eval { $self->{run}->finish };
	return;
}

# --- what they are asked

sub reads
{
	my ($id, %more) = @_;

	return (
		key => "item:$id",
		ttl => 600,
		tags => ["cat:c$id"],
		sql => 'SELECT row_to_json(i)::text AS value, pg_current_wal_insert_lsn() AS mark'
		  . " FROM item i WHERE id = $id",
		%more);
}

sub counts
{
	my ($result, %expected) = @_;
	my %all = (hits => 0, loads => 0, filled => 0, refused => 0, errors => 0, %expected);

	is_deeply($result->{stats}, \%all, 'it counts ' . join(', ', sort keys %expected))
	  or diag(encode_json($result));
	return;
}

sub forget { $redis->cli('del', map { ($_, "wtcache:lease:$_") } @_); return; }
sub stored { return $redis->cli('get', $_[0]); }

sub refused
{
	my ($self, $id, $between) = @_;
	my $result;

	forget("item:$id");
	begin($self, reads($id));
	$between->();
	$result = finish($self);
	is($result->{value}, image($id, 'first'), 'what was loaded is returned');
	counts($result, loads => 1, refused => 1);
	is(stored("item:$id"), '', 'and not stored');
	return;
}

my @cases = (
	[ 'hit' => sub {
		my ($self, $id) = @_;
		my $result = get($self, reads($id));

		is($result->{value}, image($id, 'first'), 'the value');
		counts($result, hits => 1);
	} ],
	[ 'miss' => sub {
		my ($self, $id) = @_;
		my $pushed = stored("item:$id");
		my $result;

		forget("item:$id");
		$redis->cli('del', "tag:cat:c$id");
		$result = get($self, reads($id));
		is($result->{value}, $pushed, 'the value');
		counts($result, loads => 1, filled => 1);
		is(stored("item:$id"), $pushed, 'Redis holds what had been pushed');
		cmp_ok($redis->cli('pttl', "item:$id"), '>', 590000, 'for as long as was said');
		cmp_ok($redis->cli('pttl', "item:$id"), '<=', 600000, 'and no longer');
		is($redis->cli('smembers', "tag:cat:c$id"), "item:$id", 'under its tag');
		is($redis->cli('exists', "wtcache:mark:item:$id"), 1, 'with its mark');
		counts(get($self, reads($id)), hits => 1);
	} ],
	[ 'parsed' => sub {
		my ($self, $id) = @_;
		my %parsed = (parse => JSON::PP::true, tags => 'category');

		forget("item:$id");
		$redis->cli('del', "tag:cat:c$id");
		is(get($self, reads($id, %parsed))->{value}{v}, 'first', 'when it is loaded');
		is($redis->cli('smembers', "tag:cat:c$id"), "item:$id", 'under a tag made of it');
		is(get($self, reads($id, %parsed))->{value}{v}, 'first', 'when it is found');
		$redis->cli('set', "item:$id", 'no JSON');
		my $result = get($self, reads($id, %parsed));
		is($result->{value}{v}, 'first', 'what cannot be parsed is loaded');
		counts($result, loads => 1, errors => 1);
	} ],
	[ 'hash' => sub {
		my ($self, $id) = @_;
		my %request = (
			key => "hashed:$id",
			hash => JSON::PP::true,
			sql => 'SELECT (SELECT json_object_agg(key, value) FROM json_each_text(row_to_json(h)))'
			  . " AS value, pg_current_wal_insert_lsn() AS mark FROM hashed h WHERE id = $id");
		my $fields = { id => "$id", v => 'first' };
		my $result = get($self, %request);

		is_deeply($result->{value}, $fields, 'as it was pushed');
		counts($result, hits => 1);
		forget("hashed:$id");
		$result = get($self, %request);
		is_deeply($result->{value}, $fields, 'as it was loaded');
		counts($result, loads => 1, filled => 1);
		is($redis->cli('hmget', "hashed:$id", 'id', 'v', 'missing'), "$id\nfirst\n", 'stored');
		is($redis->cli('hlen', "hashed:$id"), 2, 'without what is null');
		is_deeply(get($self, %request)->{value}, $fields, 'and as it was filled');
	} ],
	[ 'bytes' => sub {
		my ($self, $id) = @_;
		my %request = (
			key => "bytes:$id",
			binary => JSON::PP::true,
			sql => q{SELECT '\x00ff80'::bytea AS value, pg_current_wal_insert_lsn() AS mark});
		my $result = get($self, %request);

		is($result->{value}, '00ff80', 'as they were loaded');
		counts($result, loads => 1, filled => 1);
		is($redis->cli('strlen', "bytes:$id"), 3, 'stored');
		$result = get($self, %request);
		is($result->{value}, '00ff80', 'and read');
		counts($result, hits => 1);
	} ],
	[ 'many at once' => sub {
		my ($self, $id) = @_;
		my %total = map { $_ => 0 } qw(hits loads filled errors);
		my %seen;

		forget("item:$id");
		$redis->cli('config', 'resetstat');
		begin($self, reads($id, n => 100));
		ok( $redis->poll_for('info commandstats', qr/cmdstat_evalsha:calls=(\d{4}|[2-9]\d\d)/),
			'the others wait');
		foreach my $result (finish($self), map { result($self) } 2 .. 100)
		{
			$seen{ $result->{value} // $result->{error} }++;
			$total{$_} += $result->{stats}{$_} foreach keys %total;
		}
		is_deeply(\%seen, { image($id, 'first') => 100 }, 'all have the value');
		is_deeply(\%total, { hits => 99, loads => 1, filled => 1, errors => 0 },
			'one has loaded it');
	} ],
	[ 'an update between load and fill' => sub {
		my ($self, $id) = @_;

		refused($self, $id, sub {
			run("UPDATE item SET v = 'newer' WHERE id = $id");
			is(stored("item:$id"), image($id, 'newer'), 'it is pushed');
			# where only its presence would keep it
			$redis->cli('del', "item:$id");
		});
	} ],
	[ 'an update, and its value stays' => sub {
		my ($self, $id) = @_;

		forget("item:$id");
		begin($self, reads($id));
		run("UPDATE item SET v = 'newer' WHERE id = $id");
		counts(finish($self), loads => 1, refused => 1);
		is(stored("item:$id"), image($id, 'newer'), 'it stays');
	} ],
	[ 'a tag invalidated between load and fill' => sub {
		my ($self, $id) = @_;

		$redis->cli('del', "tag:cat:c$id");
		refused($self, $id, sub { run("SELECT wtcache.invalidate_tags('cat:c$id')") });
	} ],
	[ 'no row' => sub {
		my ($self, $id) = @_;
		my $result;

		run("DELETE FROM item WHERE id = $id");
		$result = get($self, reads($id));
		ok(exists $result->{value} && !defined $result->{value}, 'nothing is returned');
		counts($result, loads => 1, filled => 1);
		is($redis->cli('exists', "item:$id"), 0, 'nor stored');
		$result = get($self, reads($id));
		ok(exists $result->{value} && !defined $result->{value}, 'nothing again');
		counts($result, hits => 1);
		run("INSERT INTO item VALUES ($id, 'new', 'c$id')");
		is(get($self, reads($id))->{value}, image($id, 'new'), 'until it is there');
		$result = get($self, key => "null:$id",
			sql => 'SELECT NULL AS value, pg_current_wal_insert_lsn() AS mark');
		ok(exists $result->{value} && !defined $result->{value}, 'a value that is null');
		counts($result, loads => 1, filled => 1);
	} ],
	[ 'not to be stored' => sub {
		my ($self, $id) = @_;
		my $result;

		forget("item:$id");
		$result = get($self, reads($id, ttl => 0));
		is($result->{value}, image($id, 'first'), 'the value');
		is($redis->cli('exists', "item:$id", "wtcache:lease:item:$id"), 0,
			'it is not stored, and the lease is given back');
		like(get($self, reads($id, ttl => -1))->{error}, qr/ttl must be a number of seconds/,
			'no time to live');
	} ],
	[ 'load raises' => sub {
		my ($self, $id) = @_;
		my $result = get($self, key => "raise:$id", sql => 'SELECT 1/0 AS value');

		like($result->{error}, qr/division by zero/, 'the application has the error');
		counts($result, loads => 1);
		is($redis->cli('exists', "raise:$id"), 0, 'nothing is stored');
		is($redis->cli('exists', "wtcache:lease:raise:$id"), 1, 'the lease is left to expire');
	} ],
	[ 'no mark' => sub {
		my ($self, $id) = @_;

		foreach my $mark ('NULL', q{'now'}, q{'0/1 '})
		{
			forget("item:$id");
			like(
				get($self, reads($id, sql => "SELECT 'old' AS value, $mark AS mark"))->{error},
				qr/is no mark: select pg_current_wal_insert_lsn\(\)/,
				"$mark: what to do is said");
			is(stored("item:$id"), '', 'nothing is stored');
		}
	} ],
	[ 'no text' => sub {
		my ($self, $id) = @_;

		forget("item:$id");
		like(
			get($self, reads($id,
				sql => 'SELECT 5 AS value, pg_current_wal_insert_lsn() AS mark'))->{error},
			qr/value must be .*row_to_json/, 'what to do is said');
		is(stored("item:$id"), '', 'nothing is stored');
	} ],
	[ 'scripts that Redis has lost' => sub {
		my ($self, $id) = @_;

		forget("item:$id");
		$redis->cli('script', 'flush');
		counts(get($self, reads($id)), loads => 1, filled => 1);
		$redis->cli('script', 'flush');
		counts(get($self, reads($id)), hits => 1);
	} ],
	[ 'another reader takes long' => sub {
		my ($self, $id) = @_;
		my ($before, $result);

		forget("item:$id");
		$redis->cli('set', "wtcache:lease:item:$id",
			'1 ' . $redis->cli('get', 'wtcache:token'), 'px', 50000);
		$before = time;
		$result = get($self, reads($id, wait => 0.5));
		is($result->{value}, image($id, 'first'), 'it loads');
		counts($result, loads => 1);
		cmp_ok(time - $before, '>=', 0.5, 'when it has waited');
		is(stored("item:$id"), '', 'and fills nothing');
	} ]);

# --- what needs a setting, or Redis to be away

my (@clients, $number);
foreach my $library (@libraries)
{
	my $client = start($library, $redis->socket);

  SKIP:
	{
		skip("$library->[0] is not installed", 1) unless $client;
		push @clients,
		  { library => $library, name => $library->[0], id => 50 * $number++, run => $client };
	}
}

# the same with all of them; each has a row of its own
sub all
{
	my ($name, $code) = @_;

	foreach my $client (@clients)
	{
		my $id = ++$client->{id};

		subtest("$client->{name}: $name" => sub { $code->($client->{run}, $id, $client) });
	}
	return;
}

leases_for(60000);
all(@$_) foreach @cases;

all('a prefix' => sub {
	my (undef, $id, $client) = @_;
	my ($self, $result);

	plan(skip_all => 'this library has none') unless $client->{library}[2];
	$self = start($client->{library}, $redis->socket, 'app:');
	my %request = reads($id, sql =>
		  'SELECT row_to_json(p)::text AS value, pg_current_wal_insert_lsn() AS mark'
		. " FROM prefixed p WHERE id = $id");
	counts(get($self, %request), hits => 1);
	forget("app:item:$id");
	$redis->cli('del', "tag:cat:c$id");
	counts(get($self, %request), loads => 1, filled => 1);
	is(stored("app:item:$id"), image($id, 'first'), 'is before the key');
	is($redis->cli('smembers', "tag:cat:c$id"), "app:item:$id", 'and not before the tag');
	forget("app:item:$id");
	begin($self, %request);
	run("UPDATE prefixed SET v = 'newer' WHERE id = $id");
	$redis->cli('del', "app:item:$id");
	counts(finish($self), loads => 1, refused => 1);
	stop($self);
});

# --- a reader that dies

$node->reconfigure('wtcache.lease_ttl' => '4s');
leases_for(4000);
all('killed while it loads' => sub {
	my ($self, $id, $client) = @_;
	my $killed = start($client->{library}, $redis->socket);

	forget("item:$id");
	begin($killed, reads($id));
	stop($killed, 'KILL');
	cmp_ok($redis->cli('pttl', "wtcache:lease:item:$id"), '>', 0, 'it had the lease');
	ask($self, reads($id));
	$client->{asked} = $id;
});
all('the next one' => sub {
	my ($self, undef, $client) = @_;
	my $id = $client->{asked};
	my $result = result($self);

	is($result->{value}, image($id, 'first'), 'has the value');
	counts($result, loads => 1, filled => 1);
	is(stored("item:$id"), image($id, 'first'), 'and has filled it');
});

# --- no leases

$node->reconfigure('wtcache.leases' => 'off');
$redis->poll_for('exists wtcache:leases', '0') or die 'leases';
all('no leases' => sub {
	my ($self, $id) = @_;

	counts(get($self, reads($id)), hits => 1);
	forget("item:$id");
	counts(get($self, reads($id)), loads => 1);
	is(stored("item:$id"), '', 'nothing is stored');
});

# --- Redis is away

all('Redis misbehaves' => sub {
	my (undef, $id, $client) = @_;

	foreach my $mode (
		[ 'close_before' ], [ 'blackhole' ], [ 'garbage' ],
		[ 'reply', text => "+OK\r\n" ], [ 'reply', text => "*1\r\n\$4\r\nwhat\r\n" ],
		[ 'error', text => 'NOPERM this user has no permissions' ])
	{
		my ($name, %options) = @$mode;
		my $self = start($client->{library}, $bad->socket);
		my $result;

		$bad->mode($name, %options, at => 'request', match => "item:$id");
		$result = get($self, reads($id, timeout => 1));
		is($result->{value}, image($id, 'first'), "$name: it is loaded");
		is($result->{stats}{loads}, 1, 'once');
		cmp_ok($result->{stats}{errors}, '>', 0, 'and the error counted');
		$bad->normal;
		stop($self);
	}
});
all('Redis stalls' => sub {
	my ($self, $id) = @_;
	my $next = ++$clients[-1]{id};
	my ($result, $deadline);

	$redis->pause;
	$result = get($self, reads($id, timeout => 1));
	is($result->{value}, image($id, 'first'), 'it is loaded');
	counts($result, loads => 1, errors => 1);
	$redis->resume;
	$deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	do
	{
		$result = get($self, reads($next, timeout => 1));
	} until $result->{stats}{hits} || time > $deadline;
	is($result->{value}, image($next, 'first'), 'what is answered late is not taken for another key');
});
$redis->stop;
all('Redis is down' => sub {
	my ($self, $id) = @_;
	my $result = get($self, reads($id, timeout => 1));

	is($result->{value}, image($id, 'first'), 'it is loaded');
	counts($result, loads => 1, errors => 1);
});
$redis->start;
all('Redis is up again' => sub {
	my ($self, $id) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;
	my $result;

	$redis->cli('set', "item:$id", 'up');
	do
	{
		$result = get($self, reads($id, timeout => 1));
	} until $result->{stats}{hits} || time > $deadline;
	is($result->{value}, 'up', 'it is read again');
});

stop($_->{run}) foreach @clients;
done_testing();
