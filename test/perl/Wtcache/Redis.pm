
=pod

=head1 NAME

Wtcache::Redis - a private Redis (or Valkey) server for a test

=head1 SYNOPSIS

  use Wtcache::Redis;

  # a server on a unix socket in a directory of its own, started
  my $redis = Wtcache::Redis->new(maxmemory => '5mb');
  my $redis = Wtcache::Redis->new(tcp => 1, requirepass => 'secret');

  my $url = $redis->url;              # for wtcache.url
  my $url = $redis->url(db => 2, user => 'joe', password => 'secret');   # tcp only
  my $out = $redis->cli('get', 'products:1');
  $redis->poll_for([ 'exists', 'products:1' ], '1') or die;
  $redis->wait_for_beat($node);       # all that it has committed is in Redis

  $redis->pause;                      # SIGSTOP: accepts and never answers
  $redis->resume;
  $redis->stop;                       # or stop('KILL')
  $redis->kill9;
  $redis->start;                      # empty again ...
  $redis->restart(keep => 1);         # ... but not this way

=head1 DESCRIPTION

Every server is gone when its object or the test is.  All other options of
new() are lines of redis.conf.  The server is C<redis-server> from the PATH;
test/run puts the selected server there under this name, whichever it is.

=cut

package Wtcache::Redis;

use strict;
use warnings;

use File::Temp ();
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);

our $timeout = $ENV{PG_TEST_TIMEOUT_DEFAULT} || 180;

my %running;    # object's address => object's pid, of this process only

sub new
{
	my ($class, %options) = @_;
	my $self = bless {
		owner => $$,
		# Short, for the socket's name, and so not in tmp_check
		dir => File::Temp->newdir('wtredis-XXXXXX', DIR => '/tmp'),
		tcp => delete $options{tcp},
		config => \%options
	}, $class;

	$self->start;
	return $self;
}

sub dir { return "$_[0]{dir}"; }
sub socket { return "$_[0]{dir}/redis.sock"; }
sub port { return $_[0]{port}; }
sub pid { return $_[0]{pid}; }
sub logfile { return "$_[0]{dir}/redis.log"; }

# What the server has logged.
sub log_content
{
	my ($self) = @_;

	open(my $file, '<', $self->logfile) or return '';
	local $/;
	return <$file>;
}

# The value of wtcache.url for this server.  The URL of a unix socket has no
# place for a login; there is wtcache.password_file.
sub url
{
	my ($self, %o) = @_;
	my $db = $o{db};
	my $login = '';

	if (!$self->{tcp})
	{
		die "a login in the URL needs tcp => 1" if defined $o{password};
		return 'unix://' . $self->socket . (defined $db ? "?db=$db" : '');
	}
	if (defined $o{password})
	{
		$login = join(':', $o{user} // '', $o{password});
		$login =~ s/([^\w.:~-])/sprintf('%%%02X', ord $1)/ge;
		$login .= '@';
	}
	return "redis://${login}127.0.0.1:$self->{port}"
	  . (defined $db ? "/$db" : '');
}

# A port that nobody listens on at the moment.
sub free_port
{
	my $probe = IO::Socket::INET->new(
		LocalAddr => '127.0.0.1',
		LocalPort => 0,
		Listen => 1) or die "no free port: $!";

	return $probe->sockport;
}

sub start
{
	my ($self) = @_;

	return if $self->is_running;
	# Someone else may have taken the port since; then try another one.
	foreach my $try (1 .. 3)
	{
		$self->{port} ||= free_port() if $self->{tcp};
		return if $self->_try_start;
		delete $self->{port} if $self->{tcp};
	}
	die "could not start redis-server:\n" . $self->log_content;
}

sub _try_start
{
	my ($self) = @_;
	my %config = (
		port => $self->{port} || 0,
		bind => '127.0.0.1',
		unixsocket => $self->socket,
		dir => $self->dir,
		logfile => $self->logfile,
		save => '',
		appendonly => 'no',
		%{ $self->{config} });
	my $conf = $self->dir . '/redis.conf';
	my $pid;

	unlink $self->socket;
	open(my $file, '>', $conf) or die "could not write \"$conf\": $!";
	foreach my $name (sort keys %config)
	{
		my $value = $config{$name};

		# An array stands for several lines of the same name.
		foreach my $v (ref $value ? @$value : ($value))
		{
			print $file $name, ' ', $v eq '' ? '""' : $v, "\n";
		}
	}
	close $file;

	defined($pid = fork) or die "could not fork: $!";
	if ($pid == 0)
	{
		open(STDIN, '<', '/dev/null');
		open(STDOUT, '>>', $self->logfile);
		open(STDERR, '>&', \*STDOUT);
		{ no warnings; exec 'redis-server', $conf; }
		warn "could not run redis-server: $!";
		POSIX::_exit(127);
	}
	$self->{pid} = $pid;
	$running{ $self->dir } = $pid;

	return 1 if $self->_until(
		sub {
			return -1 if waitpid($pid, WNOHANG) == $pid;
			my $reply = $self->_ping;
			# While loading or without a password it also stands.
			return $reply =~ /^(\+PONG|-NOAUTH|-LOADING)/;
		});
	delete $running{ $self->dir };
	delete $self->{pid};
	return 0;
}

# First line of the answer to PING, without redis-cli, which asks for more.
sub _ping
{
	my ($self) = @_;
	my $line;
	my $sock = IO::Socket::UNIX->new(Peer => $self->socket) or return '';

	print $sock "PING\r\n";
	$sock->flush;
	local $SIG{ALRM} = sub { die "alarm\n" };
	eval { alarm 5; $line = <$sock>; alarm 0; };
	return $line // '';
}

# Call until it returns true; -1 means: never will.
sub _until
{
	my ($self, $code, $limit) = @_;
	my $deadline = time + ($limit || $timeout);

	while (time < $deadline)
	{
		my $result = $code->();
		return 0 if $result && $result eq '-1';
		return 1 if $result;
		sleep 0.02;
	}
	return 0;
}

sub is_running
{
	my ($self) = @_;

	return 0 unless $self->{pid};
	return 1 if waitpid($self->{pid}, WNOHANG) == 0;
	delete $running{ $self->dir };
	delete $self->{pid};
	return 0;
}

# Stop by a signal, and wait until it is gone.
sub stop
{
	my ($self, $signal) = @_;
	my $pid = $self->{pid};

	return unless $self->is_running;
	kill $signal || 'TERM', $pid;
	kill 'CONT', $pid;
	if (!$self->_until(sub { !$self->is_running }, 10))
	{
		kill 'KILL', $pid;
		$self->_until(sub { !$self->is_running });
	}
	return;
}

sub kill9 { $_[0]->stop('KILL'); return; }
sub pause { kill 'STOP', $_[0]{pid}; return; }
sub resume { kill 'CONT', $_[0]{pid}; return; }

# Restart, on the same socket and port; the data stay with keep => 1.
sub restart
{
	my ($self, %o) = @_;
	my $dump = $self->dir . '/dump.rdb';

	if ($o{keep})
	{
		$self->cli('save') eq 'OK' or die "could not save";
	}
	else
	{
		unlink $dump;
	}
	$self->stop($o{signal} || 'KILL');
	$self->start;
	unlink $dump;
	return;
}

# Run redis-cli.  Lines of a reply are separated by newlines; options of
# redis-cli may come first, e.g. cli('-n', 2, 'get', 'a').
sub cli
{
	my ($self, @args) = @_;

	local $ENV{REDISCLI_AUTH} = $self->{config}{requirepass}
	  if defined $self->{config}{requirepass};
	open(my $pipe, '-|', 'redis-cli', '-s', $self->socket, @args)
	  or die "could not run redis-cli: $!";
	my $out = join '', <$pipe>;
	# Keep the status out of the test's own.
	local $?;
	close $pipe;
	chomp $out;
	return $out;
}

# Poll until a command (string or array) returns what is expected (a string, or
# a regular expression); false, and a note of what it returned, if it never does.
sub poll_for
{
	my ($self, $cmd, $expected, $limit) = @_;
	my @cmd = ref $cmd ? @$cmd : split(' ', $cmd);
	my $got = '';

	return 1 if $self->_until(
		sub {
			$got = $self->cli(@cmd);
			return ref $expected ? $got =~ $expected : $got eq $expected;
		},
		$limit);
	print STDERR "# \"@cmd\" kept returning \"$got\", not \"$expected\"\n";
	return 0;
}

# Up to where everything is in Redis, as the worker of a server has told it; 0 if
# it has not.
sub position { return $_[0]->cli('hget', 'wtcache:position', 'lsn') || 0; }

# Wait until the server's worker has stored a position that covers all that has
# been committed by now; returns where that ended, as a pg_lsn.  Without a server:
# until some worker has stored another position.
sub wait_for_beat
{
	my ($self, $node) = @_;
	my $before = $self->position;

	if (!$node)
	{
		$self->_until(sub { $self->position ne $before }) or die 'no beat';
		return;
	}
	# its commit flushes WAL, and the position goes no further than that
	my ($lsn, $number) = split /\|/, $node->safe_psql('postgres', q{
		SELECT lsn, lsn - '0/0' FROM pg_logical_emit_message(true, 'beat', '') lsn});

	$self->_until(sub { $self->position >= $number }) or die 'no beat';
	return $lsn;
}

# Redis has lost all keys but wtcache's own, and tells of a position at which there
# were none; all clients find that out.
sub lose_since
{
	my ($self, $position) = @_;

	$self->cli('eval', q{
		for _, key in ipairs(redis.call('keys', '*')) do
			if string.sub(key, 1, 8) ~= 'wtcache:' then
				redis.call('del', key)
			end
		end
		redis.call('hset', 'wtcache:position', 'lsn', ARGV[1])
		redis.call('del', 'wtcache:token')}, 0, $position);
	$self->cli('client', 'kill', 'type', 'normal');
	return;
}

sub DESTROY
{
	my ($self) = @_;

	# END has seen to it, and the directory's object may be gone already
	return if $self->{owner} != $$ || ${^GLOBAL_PHASE} eq 'DESTRUCT';
	local ($?, $@, $!);
	$self->stop('KILL');
	return;
}

END
{
	local $?;
	# Filled by this process, or inherited by fork and then not ours
	foreach my $pid (values %running)
	{
		kill 'KILL', $pid if waitpid($pid, WNOHANG) == 0;
	}
}

1;
