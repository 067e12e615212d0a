# The examples of clients/README.md, run as they are printed.  Those whose
# libraries are not installed here are left out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use Cwd qw(abs_path);
use File::Copy qw(copy);
use IPC::Run ();
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

my $top = abs_path("$FindBin::RealBin/../..");
my $readme = slurp_file("$top/clients/README.md");
my $redis = Wtcache::Redis->new(tcp => 1);
my $node = Wtcache::Node->start_new('main', url => $redis->url);
my $user = $node->safe_psql('postgres', 'SELECT current_user');
my $php = "<?php\ndeclare(strict_types=1);\n";
my $tell = 'console.log(JSON.stringify(await product(Number(process.argv[2]))));';

$ENV{NODE_PATH} ||= '/usr/local/lib/wtcache-tests/node_modules';
$ENV{PGHOST} = $node->host;
$ENV{PGPORT} = $node->port;
$ENV{PGDATABASE} = 'postgres';
$ENV{PGUSER} = $user;
$ENV{REDIS_URL} = $redis->url;
$ENV{DATABASE_URL} =
  "postgresql://$user\@localhost/postgres?host=" . $node->host . '&port=' . $node->port;

# What runs them, with a program that tells whether that can be had; what is put
# before and behind them.  The argument is the number of a product.
my %examples = (
	js => [ 'node', 'mjs', 'require("ioredis"); require("pg")', '', "$tell process.exit();" ],
	prisma => [
		'node', 'mjs', 'require("ioredis"); require("@prisma/adapter-pg"); require(".prisma/client")',
		'', "$tell console.log(JSON.stringify(await category('c1'))); process.exit();"
	],
	python => [
		'/usr/bin/python3', 'py', 'import redis, psycopg', '',
		"import sys\nprint(json.dumps(product(int(sys.argv[1]))))"
	],
	asyncio => [
		'/usr/bin/python3', 'py', 'import redis.asyncio, psycopg', '',
		"import asyncio, sys\nprint(json.dumps(asyncio.run(product(int(sys.argv[1])))))"
	],
	php => [
		'php', 'php', 'extension_loaded("redis") && extension_loaded("pdo_pgsql") or exit(1);',
		$php, 'echo json_encode(product((int) $argv[1])), "\n";'
	],
	django => [
		'/usr/bin/python3', 'py', 'import django, redis, psycopg2',
		q{
import os, sys
import django
from django.conf import settings
settings.configure(
    REDIS_URL=os.environ['REDIS_URL'], INSTALLED_APPS=['shop'],
    DATABASES={'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': 'postgres'}})
django.setup()
}, q{
from django.db import transaction
print(json.dumps(product(int(sys.argv[1]))))
with transaction.atomic():
    Product.objects.filter(pk=2).update(name='changed')
    print(product(2)['name'])
    transaction.set_rollback(True)
}
	],
	laravel => [
		'php', 'php',
		'require "Illuminate/Database/autoload.php"; require "Illuminate/Redis/autoload.php"; extension_loaded("redis") && extension_loaded("pdo_pgsql") or exit(1);',
		$php . q{
require 'Illuminate/Database/autoload.php';
require 'Illuminate/Redis/autoload.php';
require 'Cache.php';
$app = new Illuminate\Container\Container();
$database = new Illuminate\Database\Capsule\Manager($app);
$database->addConnection(['driver' => 'pgsql', 'host' => getenv('PGHOST'), 'port' => getenv('PGPORT'),
    'database' => 'postgres', 'username' => getenv('PGUSER'), 'password' => '', 'charset' => 'utf8']);
$app->instance('db', $database->getDatabaseManager());
$app->instance('redis', new Illuminate\Redis\RedisManager($app, 'phpredis', ['default' => [
    'host' => parse_url(getenv('REDIS_URL'), PHP_URL_HOST), 'port' => parse_url(getenv('REDIS_URL'), PHP_URL_PORT)]]));
Illuminate\Support\Facades\Facade::setFacadeApplication($app);
}, q{
echo json_encode((new Products())->find((int) $argv[1])), "\n";
DB::transaction(function () {
    DB::update("UPDATE products SET name = 'changed' WHERE id = 2");
    echo (new Products())->find(2)['name'], "\n";
    DB::rollBack();
});
}
	]);

# what the manual says is to be done, without what stands in the configuration
my ($attach) = $readme =~ /^```sql\n(SELECT wtcache\.attach.*?;)\n/ms;

$node->safe_psql('postgres', qq{
	CREATE TABLE products (id int PRIMARY KEY, name text, category text);
	$attach
	INSERT INTO products SELECT i, 'product ' || i, 'c1' FROM generate_series(1, 3) i});
$node->reconfigure('wtcache.leases' => 'on');
$redis->poll_for('hmget wtcache:leases version closed', "1\n") or die 'no leases';
$node->poll_query_until('postgres', q{
	SELECT redis_open AND worker_state LIKE 'idle%' AND replay_from IS NULL
	FROM wtcache.status}) or die 'the worker has something to do';

sub image { return { id => $_[0], name => $_[1], category => 'c1' }; }

# What an example prints: the product, and other lines
sub run
{
	my ($command, $id) = @_;
	my ($out, $err);

	IPC::Run::run([ @$command, $id ], '>', \$out, '2>', \$err, IPC::Run::timeout(60))
	  or diag($err);
	my ($product, @more) = split /\n/, $out;

	return (eval { JSON::PP->new->allow_nonref->decode($product) }, @more);
}

my @named = $readme =~ /^<!-- example: (\w+) -->$/mg;

my %tried;

is_deeply([ sort @named ], [ sort keys %examples ], 'these are the examples');
foreach my $name (@named)
{
	my ($program, $suffix, $probe, $before, $behind) = @{ $examples{$name} };
	my ($text) = $readme =~ /^<!-- example: $name -->\n```\w+\n(.*?)^```$/ms;
	my $dir = PostgreSQL::Test::Utils::tempdir;
	my @command = ($program, "$dir/example.$suffix");
	my $probing = $suffix eq 'mjs' ? '-e' : $suffix eq 'php' ? '-r' : '-c';
	my (undef, $said);

	# import finds the libraries here
	symlink($ENV{NODE_PATH}, "$dir/node_modules");
	copy($_, $dir) foreach glob("$top/clients/*/*.*");
	symlink("$FindBin::RealBin/../clients/shop", "$dir/shop");
	append_to_file($command[1], "$before$text\n$behind\n");
  SKIP:
	{
		skip("what \"$name\" needs is not installed", 1)
		  unless eval { IPC::Run::run([ $program, $probing, $probe ], '>', \$said, '2>', \$said) };
		subtest($name => sub { tried($name, @command) });
		$tried{$name} = \@command;
	}
}
$redis->stop;
foreach my $name (sort keys %tried)
{
	my @said = run($tried{$name}, 1);

	is_deeply($said[0], image(1, 'product 1'), "$name: without Redis it is loaded");
}

sub tried
{
	my ($name, @command) = @_;
	my $pushed = $redis->cli('get', 'products:1');
	my ($product, @more);

	$redis->cli('del', 'products:1', 'wtcache:lease:products:1', 'products:2', 'tag:category:c1');
	($product, @more) = run(\@command, 1);
	is_deeply($product, image(1, 'product 1'), 'what is missing is loaded');
	is($redis->cli('get', 'products:1'), $pushed, 'and stored');
	is($redis->cli('smembers', 'tag:category:c1'), 'products:1', 'under its tag');
	if ($name eq 'prisma')
	{
		is_deeply(decode_json($more[0]), [ map { image($_, "product $_") } 1 .. 3 ],
			'what is not a row');
		is($redis->cli('get', 'categories:c1'), $more[0], 'is stored');
		$node->safe_psql('postgres', q{UPDATE products SET name = name WHERE id = 3});
		is($redis->cli('exists', 'categories:c1'), 0, 'until a row changes');
	}
	if ($name eq 'django' || $name eq 'laravel')
	{
		is($more[0], 'changed', 'a transaction sees what it has changed');
		is($redis->cli('exists', 'products:2'), 0, 'which is not stored');
	}
	$redis->cli('set', 'products:1', '{"id":1,"name":"found","category":"c1"}');
	my @found = run(\@command, 1);
	is_deeply($found[0], image(1, 'found'), 'what is there is read');
	$redis->cli('set', 'products:1', $pushed);
	is_deeply([ (run(\@command, 99))[0] ], [undef], 'no row');
	return;
}

done_testing();
