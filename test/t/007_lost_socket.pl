# The socket to Redis is closed by something else in the process, while an answer
# is waited for: a failure like any other, and not a wait that ends at once, over
# and over.  test/modules/lost_socket is a program of src/redis/ and a main().

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Utils;
use Test::More;
use Wtcache::Redis;

my $src = "$FindBin::RealBin/../../src";
my $program = PostgreSQL::Test::Utils::tempdir() . '/lost_socket';
my ($out, $err) = ('', '');

IPC::Run::run([
		'gcc', '-D_GNU_SOURCE', '-Wall', "-I$src", '-o', $program,
		"$FindBin::RealBin/../modules/lost_socket/lost_socket.c",
		(map { "$src/redis/$_.c" } qw(conn status words)), '-lhiredis'
	], '2>', \$err)
  or die "could not compile: $err";

my $redis = Wtcache::Redis->new;
ok(IPC::Run::run([ $program, $redis->socket ], '>', \$out), 'the conversation ends');
is($out, "closed, Bad file descriptor, closed, asked a few times\n",
	'... as soon as the socket is gone');

done_testing();
