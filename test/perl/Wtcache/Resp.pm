
=pod

=head1 NAME

Wtcache::Resp - a connection to Redis, pipelined

=head1 SYNOPSIS

  use Wtcache::Resp;

  my $resp = Wtcache::Resp->new($redis->socket);
  my $value = $resp->command('GET', 'products:1');

  $resp->queue('SET', 'a', 1);        # the number of its reply: 0
  $resp->queue('GET', 'a');           # 1
  $resp->send;                        # may be called ahead of receive
  my $replies = $resp->receive;       # [ 'OK', 1 ]

=head1 DESCRIPTION

For many commands, where redis-cli is too slow.  An array is returned as a
reference, nil as undef and an error as an object, to be told by is_error().

=cut

package Wtcache::Resp;

use strict;
use warnings;

use IO::Socket::UNIX;

sub new
{
	my ($class, $path) = @_;
	my $socket = IO::Socket::UNIX->new(Peer => $path)
	  or die "could not connect to \"$path\": $!";

	return bless {
		socket => $socket,
		queue => '',    # what has not been sent
		queued => 0,
		sent => [],     # numbers of commands, one for each send()
		input => '',
		at => 0         # how much of it has been parsed
	}, $class;
}

sub is_error { return ref $_[0] eq 'Wtcache::Resp::Error'; }

sub queue
{
	my $self = shift;

	$self->{queue} .=
	  join('', '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_);
	return $self->{queued}++;
}

sub send
{
	my ($self) = @_;

	print { $self->{socket} } $self->{queue};
	$self->{socket}->flush or die "could not write to Redis: $!";
	push @{ $self->{sent} }, $self->{queued};
	$self->{queue} = '';
	$self->{queued} = 0;
	return;
}

# The replies to what was sent first
sub receive
{
	my ($self) = @_;
	my $n = shift @{ $self->{sent} };
	my @replies;

	push @replies, $self->_reply while $n-- > 0;
	return \@replies;
}

sub command
{
	my ($self, @args) = @_;

	die "there is something under way" if $self->{queued} || @{ $self->{sent} };
	$self->queue(@args);
	$self->send;
	return $self->receive->[0];
}

sub _read
{
	my ($self) = @_;

	if ($self->{at} > 65536)
	{
		substr($self->{input}, 0, $self->{at}, '');
		$self->{at} = 0;
	}
	my $n;

	# a child that ends may interrupt it
	do
	{
		$n = sysread($self->{socket}, $self->{input}, 65536, length $self->{input});
	} while (!defined $n && $!{EINTR});
	die "could not read from Redis: $!" unless defined $n;
	die 'Redis closed the connection' unless $n;
	return;
}

sub _reply
{
	my ($self) = @_;
	my $end;

	$self->_read
	  while ($end = index($self->{input}, "\r\n", $self->{at})) < 0;
	my $line = substr($self->{input}, $self->{at}, $end - $self->{at});
	my $type = substr($line, 0, 1, '');
	$self->{at} = $end + 2;

	return $line if $type eq ':' || $type eq '+';
	return bless \$line, 'Wtcache::Resp::Error' if $type eq '-';
	return undef if $line < 0;
	return [ map { $self->_reply } 1 .. $line ] if $type eq '*';
	die "unknown type of reply: $type" if $type ne '$';

	$self->_read while length $self->{input} < $self->{at} + $line + 2;
	my $value = substr($self->{input}, $self->{at}, $line);
	$self->{at} += $line + 2;
	return $value;
}

1;
