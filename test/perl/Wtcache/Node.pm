
=pod

=head1 NAME

Wtcache::Node - a PostgreSQL server with wtcache preloaded, for a test

=head1 SYNOPSIS

  use Wtcache::Node;

  # initialised, started, CREATE EXTENSION done
  my $node = Wtcache::Node->start_new('main', url => $redis->url,
      conf => { 'wtcache.push_timeout' => '500ms' });

  $node->reconfigure('wtcache.url' => $bad->url);    # and wait for it
  my $n = $node->stat('pushes_failed');
  my $s = $node->session;                            # a BackgroundPsql
  $node->release_pushes;                             # see debug_hold_push

=head1 DESCRIPTION

A PostgreSQL::Test::Cluster.  Statements are not logged, so that what is in the
log of row data got there through wtcache.

=cut

package Wtcache::Node;

use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(sleep time);

our @ISA = ('PostgreSQL::Test::Cluster');

# Options: url, conf (settings), init (arguments of init), extension => 0.
sub start_new
{
	my ($class, $name, %o) = @_;
	my $node = $class->new($name);

	$node->init(%{ $o{init} || {} });
	$node->append_conf('postgresql.conf',
		"log_statement = none\nshared_preload_libraries = 'wtcache'\n"
		  # What servers have by default; the harness reduces them.
		  . "wal_level = replica\nmax_replication_slots = 10\n");
	$node->set('wtcache.url' => $o{url}) if defined $o{url};
	$node->set(%{ $o{conf} }) if $o{conf};
	$node->start;
	$node->create_extension unless defined $o{extension} && !$o{extension};
	return $node;
}

sub create_extension
{
	my ($self) = @_;

	$self->safe_psql('postgres', q{
		CREATE EXTENSION wtcache;
		CREATE OR REPLACE FUNCTION public.wtc_release() RETURNS boolean LANGUAGE C
		AS '$libdir/wtcache', 'wtcache_debug_release'});
	return;
}

# Write settings to the configuration file.
sub set
{
	my ($self, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		my $value = $settings{$name};

		$value =~ s/'/''/g;
		$self->append_conf('postgresql.conf', "$name = '$value'\n");
	}
	return;
}

# Change settings of the running server, wait until new sessions have them.
sub reconfigure
{
	my ($self, %settings) = @_;

	$self->set(%settings);
	$self->reload;
	foreach my $name (sort keys %settings)
	{
		$self->wait_for_setting(
			sub { $self->safe_psql('postgres', $_[0]) },
			$name, $settings{$name});
	}
	return;
}

# Wait until an open session has seen a reload; returns the session.
sub settle
{
	my ($self, $session, %settings) = @_;

	foreach my $name (sort keys %settings)
	{
		$self->wait_for_setting(sub { $session->query_safe($_[0]) },
			$name, $settings{$name});
	}
	return $session;
}

sub wait_for_setting
{
	my ($self, $query, $name, $value) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	$value =~ s/'/''/g;
	while ($query->(
			"SELECT count(*) FROM pg_settings WHERE name = '$name' AND"
			  . " current_setting(name) = '$value'") ne '1')
	{
		die "setting $name does not become '$value'" if time > $deadline;
		sleep 0.02;
	}
	return;
}

sub stat
{
	my ($self, $counter) = @_;

	return $self->safe_psql('postgres', "SELECT $counter FROM wtcache.stat");
}

# All counters
sub stats
{
	my ($self) = @_;

	return map { /^\s*"(\w+)": ?(\d+),?\s*$/ ? ($1 => $2) : () } split /\n/,
	  $self->safe_psql('postgres',
		'SELECT jsonb_pretty(to_jsonb(s)) FROM wtcache.stat s');
}

sub status
{
	my ($self, $column) = @_;

	return $self->safe_psql('postgres', "SELECT $column FROM wtcache.status");
}

# A psql that stays connected; errors do not end it.
sub session
{
	my ($self, %o) = @_;
	my $session =
	  $self->background_psql($o{dbname} || 'postgres', on_error_stop => 0);

	# A limit for each query, not for all of them together
	$session->set_query_timer_restart;
	# NOTICEs would be taken for errors.
	$session->query_safe('SET client_min_messages = error');
	return $session;
}

sub pid_of
{
	my ($self, $session) = @_;

	return $session->query_safe('SELECT pg_backend_pid()');
}

# Start a statement in a session without waiting for it.  The next query of
# the session waits.
sub begin_query
{
	my ($self, $session, $sql) = @_;

	$session->query_until(qr/begun/, "\\echo begun\n$sql;\n");
	return;
}

# Let go the push that wtcache.debug_hold_push holds; waits for it first.
sub release_pushes
{
	my ($self) = @_;

	return $self->safe_psql('postgres', 'SELECT wtc_release()') eq 't';
}

1;
