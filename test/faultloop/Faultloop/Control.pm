
=pod

=head1 NAME

Faultloop::Control - the words that the load and its conductor share

=head1 DESCRIPTION

Words of 64 bits in a file that load.c has mapped; words.h names them.  Each is
written by one side only, but for the counters, which are the load's threads'.

=cut

package Faultloop::Control;

use strict;
use warnings;

use Fcntl qw(O_RDWR O_CREAT);

# new(path of the file, path of words.h)
sub new
{
	my ($class, $path, $words) = @_;
	my (%index, $file);

	open(my $list, '<', $words) or die "could not read \"$words\": $!";
	while (<$list>)
	{
		$index{$1} = keys %index if /^WORD\((\w+)\)/;
	}
	sysopen($file, $path, O_RDWR | O_CREAT, 0600)
	  or die "could not open \"$path\": $!";
	syswrite($file, "\0" x 4096);
	return bless { file => $file, index => \%index }, $class;
}

sub _seek
{
	my ($self, $word) = @_;

	die "no such word: $word" unless exists $self->{index}{$word};
	sysseek($self->{file}, 8 * $self->{index}{$word}, 0);
	return;
}

sub get
{
	my ($self, $word) = @_;

	$self->_seek($word);
	sysread($self->{file}, my $bytes, 8) == 8 or die "control file: $!";
	return unpack('Q<', $bytes);
}

sub set
{
	my ($self, $word, $value) = @_;

	$self->_seek($word);
	syswrite($self->{file}, pack('Q<', $value)) == 8
	  or die "control file: $!";
	return;
}

# Sees to it that a word is odd, or even, by counting it up.
sub make_odd
{
	my ($self, $word, $odd) = @_;
	my $value = $self->get($word);

	$self->set($word, $value + 1) if $value % 2 != $odd;
	return;
}

# All counters of violations, by class
sub violations
{
	my ($self) = @_;

	return map { (substr($_, 2) => $self->get($_)) }
	  grep { /^V_/ } sort keys %{ $self->{index} };
}

1;
