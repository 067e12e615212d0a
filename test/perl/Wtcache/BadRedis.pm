
=pod

=head1 NAME

Wtcache::BadRedis - a proxy before a Redis server which misbehaves when told to

=head1 SYNOPSIS

  use Wtcache::BadRedis;

  my $bad = Wtcache::BadRedis->new(upstream => $redis);   # or tcp => 1
  ... wtcache.url = $bad->url ...

  $bad->mode('error', text => 'OOM command not allowed');
  $bad->mode('drip', delay => 100);
  $bad->mode('hold', count => 1);     # only the next push
  $bad->wait_held(1);                 # it has arrived here
  $bad->release;                      # ... and now at the server
  $bad->normal;

=head1 DESCRIPTION

The work is done by test/perl/badredis.pl, in a process of its own; its header
describes the modes and their options.  The mode can be changed at any time; it
is in force when mode() returns.

=cut

package Wtcache::BadRedis;

use strict;
use warnings;

use File::Basename qw(dirname);
use File::Temp ();
use IO::Socket::UNIX;
use POSIX qw(:sys_wait_h);
use Time::HiRes qw(sleep time);
use Wtcache::Redis;

# new(upstream => Wtcache::Redis object or a socket's path, tcp => 0 or 1)
sub new
{
	my ($class, %o) = @_;
	my $upstream = ref $o{upstream} ? $o{upstream}->socket : $o{upstream};
	my $dir = File::Temp->newdir('wtbad-XXXXXX', DIR => '/tmp');
	my $self = bless {
		owner => $$,
		dir => $dir,
		port => $o{tcp} ? Wtcache::Redis::free_port() : undef
	}, $class;
	my $listen = $o{tcp} ? "127.0.0.1:$self->{port}" : $self->socket;
	my $deadline = time + $Wtcache::Redis::timeout;

	# It ends when its standard input does, however we end.
	$self->{pid} = open(
		$self->{stdin}, '|-', $^X,
		dirname(__FILE__) . '/../badredis.pl',
		'--listen', $listen, '--upstream', $upstream,
		'--control', "$dir/control") or die "could not run badredis.pl: $!";
	until ($self->{control} =
		  IO::Socket::UNIX->new(Peer => "$dir/control"))
	{
		die "badredis.pl did not start" if time > $deadline;
		sleep 0.02;
	}
	return $self;
}

sub socket { return "$_[0]{dir}/redis.sock"; }
sub port { return $_[0]{port}; }
sub control { return "$_[0]{dir}/control"; }

sub url
{
	my ($self, $db) = @_;

	return "redis://127.0.0.1:$self->{port}" . (defined $db ? "/$db" : '')
	  if $self->{port};
	return 'unix://' . $self->socket . (defined $db ? "?db=$db" : '');
}

# Send a control line, return the answer's words as a hash.
sub command
{
	my ($self, $line) = @_;
	my $sock = $self->{control};
	my $answer;

	print $sock "$line\n";
	$sock->flush;
	$answer = <$sock>;
	die "badredis.pl is gone" unless defined $answer;
	chomp $answer;
	die "badredis.pl: $answer (\"$line\")" unless $answer =~ s/^ok\s*//;
	return map { split(/=/, $_, 2) } split(' ', $answer);
}

# mode(name, option => value, ...); a text may contain anything.
sub mode
{
	my ($self, $name, %o) = @_;
	my $line = "mode $name";

	foreach my $key (sort keys %o)
	{
		my $value = $o{$key};

		$value =~ s/([^\w.:\-])/sprintf('%%%02x', ord $1)/ge;
		$line .= " $key=$value";
	}
	$self->command($line);
	return;
}

sub normal { $_[0]->mode('normal'); return; }

# Counters: see "status" in badredis.pl.
sub status
{
	my ($self, $what) = @_;
	my %status = $self->command('status');

	return defined $what ? $status{$what} : \%status;
}

# Poll until a counter has reached a value.
sub wait_for
{
	my ($self, $what, $n) = @_;
	my $deadline = time + $Wtcache::Redis::timeout;

	until ($self->status($what) >= $n)
	{
		return 0 if time > $deadline;
		sleep 0.02;
	}
	return 1;
}

sub wait_held { my ($self, $n) = @_; return $self->wait_for('held', $n // 1); }

# Let go what is held (of the n-th connection only, if given).  Returns when
# the server has answered it, whether or not its client is still there.
sub release
{
	my ($self, $nth) = @_;

	$self->command('release' . (defined $nth ? " nth=$nth" : ''));
	return;
}

# Close all connections there are, as a restarted server would.
sub drop { $_[0]->command('drop'); return; }

sub stop
{
	my ($self) = @_;

	return unless $self->{pid};
	local ($?, $!);
	kill 'TERM', $self->{pid};
	close $self->{stdin};    # waits for it
	delete $self->{pid};
	return;
}

sub DESTROY
{
	my ($self) = @_;

	$self->stop if $self->{owner} == $$;
	return;
}

1;
