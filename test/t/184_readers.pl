# What caches of frameworks make of an image: nothing as they are, the row once
# they have been told how to read it, as doc/images.md says.  Those that are not
# installed here are left out.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Node;
use Wtcache::Redis;

# a name, the key, how the reader is run, what it needs, and what it says of a
# value that it has not been told how to read
my @readers = (
	[ 'keyv', 'keyv:{id}', [ 'node', 'keyv.js' ], [ 'node', '-e', 'require("@keyv/redis")' ],
		'nothing' ],
	[ 'django', ':1:django:{id}', [ '/usr/bin/python3', 'with_django.py' ],
		[ '/usr/bin/python3', '-c', 'import django_redis' ], 'UnpicklingError' ],
	[ 'rails', 'rails:{id}', [ 'ruby', 'rails.rb' ],
		[ 'ruby', '-e', 'require "redis"; require "active_support"' ], 'TypeError' ],
	[ 'laravel', 'laravel_cache:laravel:{id}', [ 'php', 'laravel.php' ],
		[ 'php', '-r', 'require "Illuminate/Cache/autoload.php"; require "Illuminate/Redis/autoload.php"; class_exists("Redis") or exit(1);' ],
		'false' ]);
my $redis = Wtcache::Redis->new;
my $node = Wtcache::Node->start_new('main', url => $redis->url);
my $scripts = "$FindBin::RealBin/../readers";

foreach my $reader (@readers)
{
	my ($name, $key, $run, $probe, $default) = @$reader;
	my ($program, $script) = @$run;

	$node->safe_psql('postgres', qq{
		CREATE TABLE $name (id int PRIMARY KEY, name text, price numeric, at timestamp);
		SELECT wtcache.attach('$name', key => '$key', shape => '{utc_timestamps}');
		INSERT INTO $name VALUES (1, 'one', 1.5, '2026-01-31 12:00')});
  SKIP:
	{
		my ($out, $err);

		skip("$name is not installed", 1)
		  unless eval { IPC::Run::run($probe, '>', \$out, '2>', \$err) };
		IPC::Run::run(
			[ $program, "$scripts/$script", $redis->socket, "$name:1" ],
			'>', \$out, '2>', \$err, IPC::Run::timeout(60));
		is($out, "default: $default\none 2.5 2026-01-31T12:00:00Z\n", $name)
		  or diag($err);
	}
}

done_testing();
