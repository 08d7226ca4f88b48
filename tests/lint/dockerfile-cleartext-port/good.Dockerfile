FROM debian:bookworm
RUN apt-get update && apt-get install -y dovecot-pop3d
EXPOSE 995
CMD ["dovecot", "-F"]
