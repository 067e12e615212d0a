# The user of Redis that the README makes: everything that wtcache does is allowed,
# and each command that is, wtcache uses.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Manual;
use Wtcache::Node;
use Wtcache::Redis;

my $top = "$FindBin::RealBin/../..";
my ($user, @rules) =
  Wtcache::Manual->new("$top/README.md")->section('What is in Redis')->acl;
my %unused = map { /^\+(.*)/ ? ($1 => 1) : () } @rules;
my $redis = Wtcache::Redis->new(user => "$user @rules");
my $node = Wtcache::Node->start_new('main',
	url => $redis->url(db => 1) =~ s{^unix://}{unix://$user:secret@}r,
	conf => { 'wtcache.journal' => 'on' });

sub cli { return $redis->cli('-n', 1, @_); }

# What the user has been refused, and how often: by commands
sub refused
{
	my %log;

	foreach (split /(?=^\d*\)? ?count$)/m, $redis->cli('acl', 'log', 1000))
	{
		my %entry = split /\n/;
		$log{ $entry{object} } = 1 if ($entry{username} // '') eq $user;
	}
	return %log;
}

# Without these commands, does it ask for each of them?
sub uses
{
	my ($name, $commands, $work) = @_;
	my %missing;

	$redis->cli('acl', 'log', 'reset');
	$redis->cli('acl', 'setuser', $user, map { "-$_" } @$commands);
	$work->();
	# the worker may be the one, in a moment
	for (my $deadline = time + 60; time < $deadline; select undef, undef, undef, 0.05)
	{
		my %refused = refused();

		%missing = map { $_ => 1 } grep { !$refused{$_} } @$commands;
		last unless %missing;
	}
	is(join(' ', sort keys %missing), '', "$name: uses " . join(' ', @$commands));
	$redis->cli('acl', 'setuser', $user, map { "+$_" } @$commands);
	delete @unused{@$commands};
	return;
}

sub run { return $node->psql('postgres', $_[0], on_error_stop => 0); }

$node->safe_psql('postgres', q{
	CREATE TABLE item (id int PRIMARY KEY, v text, tag text);
	SELECT wtcache.attach('item', tags => '{"{tag}"}');
	CREATE TABLE hash (id int PRIMARY KEY, v text, tag text);
	SELECT wtcache.attach('hash', tags => '{all}', format => 'hash');
	INSERT INTO item SELECT i, 'x', 'a' FROM generate_series(1, 10) i;
	INSERT INTO hash SELECT i, 'x' FROM generate_series(1, 10) i;
	SELECT wtcache.invalidate_tags('none');
	SELECT wtcache.wait('1 minute')});
is($redis->cli('acl', 'log'), '', 'all is allowed');

uses('a connection', [qw(select client|setname script|load watch get multi exec)],
	sub { run(q{SELECT wtcache.get('item:1')}) });
uses('a push', [qw(set hset unlink sadd srem pexpire rpush evalsha)], sub {
	run(q{BEGIN; UPDATE item SET tag = 'b' WHERE id = 1; UPDATE hash SET v = 'y' WHERE id = 1;
		DELETE FROM item WHERE id = 2; SELECT wtcache.invalidate_tags('none'); COMMIT}) });
uses('a connection whose token is gone', ['unwatch'], sub {
	my $session = $node->session;

	$session->query_safe('UPDATE item SET v = v WHERE id = 3');
	cli('del', 'wtcache:token');
	$session->query_safe('UPDATE item SET v = v WHERE id = 3');
	$session->quit });
uses('the worker', ['eval'], sub {
	cli('del', 'wtcache:token');
	run('UPDATE item SET v = v WHERE id = 4') });
uses('the journal', ['hdel'], sub { $node->reconfigure('wtcache.journal' => 'off') });
uses('get()', ['hgetall'], sub { run(q{SELECT wtcache.get('hash:3')}) });
uses('verify()', [qw(hmget hlen pttl sismember)], sub {
	run(qq{SELECT wtcache.verify('$_')}) foreach qw(item hash) });
cli('set', 'item:0', 'x', 'ex', 1000);
uses('verify(), orphans', [$_], sub { run(q{SELECT wtcache.verify('item')}) })
  foreach qw(scan pexpiretime);
ok($node->poll_query_until('postgres', q{SELECT wtcache.wait('1 minute')}),
	'all is allowed again');

# What scripts use that is not used otherwise, in calls of them by this user
$node->stop;

sub script
{
	my ($name, $commands, $setup, @args) = @_;

	foreach my $command (@$commands)
	{
		cli('flushdb');
		cli(@$_) foreach [ 'set', 'wtcache:token', 't' ], @$setup;
		uses($name, [$command], sub {
				cli('--user', $user, '--pass', 'secret', '--no-auth-warning', 'eval',
					slurp_file("$top/src/redis/$name"), @args) });
	}
	return;
}

my @large = ([ 'sadd', 'tag', 1 .. 1001 ]);

script('take.lua', [qw(exists llen info)], [],
	5, qw(wtcache:token wtcache:position wtcache:journal wtcache:patterns wtcache:values 1 1 1 t 1 0));
script('forget.lua', [qw(scard smembers)], [ [ 'sadd', 'tag', 'a' ] ], 0, 't', 'n', 'tag');
script('forget.lua', ['rename'], \@large, 0, 't', 'n', 'tag');
script('forget.lua', ['sunionstore'], [ @large, [ 'sadd', 'wtcache:drain:n:tag', 'b' ] ],
	0, 't', 'n', 'tag');
script('drain.lua', ['spop'], [ [ 'sadd', 'aside', 'a' ], [ 'hset', 'wtcache:drains', 'aside', 'tag' ] ], 0);
script('prune.lua', ['srandmember'], [ [ 'sadd', 'tag', 'a' ] ], 1, 'tag', 1);
script('trim.lua', [qw(hget lrange ltrim)], [ [ 'rpush', 'journal', '1 1 a' ] ],
	2, 'journal', 'position', 't', 1, 10);
script('sweep.lua', ['lset'], [ [ 'rpush', 'journal', '1 2 a' ] ], 1, 'journal', 0, 't', 1, 1);
my @lease = ([ qw(set wtcache:token), '1 1 1 1' ], [qw(hset wtcache:leases version 1 ttl 1000)],
	[ qw(set wtcache:lease:filled), '1 1 1 1 1' ]);
script('get.lua', ['hincrby'], \@lease, 1, 'missing');
script('fill.lua', ['hexists'], \@lease, 1, 'filled', '1 1 1 1 1', qw(0/1 1000 0 0 value));
is(join(' ', sort keys %unused), '', 'nothing is allowed that is not used');

done_testing;
